"""Learners decide: an A/B test of two models, from its plan to its verdict."""

from __future__ import annotations

from lexitrain.abtest.log.observed import read_ab
from lexitrain.abtest.observation_file import read_observations, read_planned
from lexitrain.abtest.observations import Observations, PlannedTest
from lexitrain.abtest.planning import (
    AbPlan,
    AbQuestion,
    AbTraffic,
    FormerTest,
    former_test,
    plan_ab,
)
from lexitrain.abtest.report import AbReport, report_ab
from lexitrain.abtest.report.breakdown import TaskEffect
from lexitrain.abtest.report.content import MetricEffect
from lexitrain.abtest.report.wording import amount, interval_text, signed, value_text
from lexitrain.abtest.service.settings import GuardrailLimits, RequestLimits
from lexitrain.abtest.service.start import serve_ab
from lexitrain.abtest.statistics.effects import Effect
from lexitrain.abtest.statistics.harm import AbLimits
from lexitrain.abtest.statistics.metrics import Metric, is_share

__all__ = [
    "AbLimits",
    "AbPlan",
    "AbQuestion",
    "AbReport",
    "AbTraffic",
    "Effect",
    "FormerTest",
    "GuardrailLimits",
    "Metric",
    "MetricEffect",
    "Observations",
    "PlannedTest",
    "RequestLimits",
    "TaskEffect",
    "amount",
    "former_test",
    "interval_text",
    "is_share",
    "plan_ab",
    "read_ab",
    "read_observations",
    "read_planned",
    "report_ab",
    "serve_ab",
    "signed",
    "value_text",
]
