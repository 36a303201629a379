"""Learners decide: an A/B test of two models, from its plan to its verdict."""

from __future__ import annotations

from lexitrain.abtest.observation_file import planned_from, read_observations
from lexitrain.abtest.observations import Observations, PlannedTest
from lexitrain.abtest.planning import AbPlan, AbQuestion, AbTraffic, former_test, plan_ab
from lexitrain.abtest.report import AbReport, report_ab, report_json
from lexitrain.abtest.service.settings import GuardrailLimits, RequestLimits
from lexitrain.abtest.service.start import serve_ab
from lexitrain.abtest.statistics.guardrails import AbLimits
from lexitrain.abtest.statistics.metrics import METRIC

__all__ = [
    "METRIC",
    "AbLimits",
    "AbPlan",
    "AbQuestion",
    "AbReport",
    "AbTraffic",
    "GuardrailLimits",
    "Observations",
    "PlannedTest",
    "RequestLimits",
    "former_test",
    "plan_ab",
    "planned_from",
    "read_observations",
    "report_ab",
    "report_json",
    "serve_ab",
]
