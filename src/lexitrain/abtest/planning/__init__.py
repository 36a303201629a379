"""Before a test: how many learners and days it takes."""

from __future__ import annotations

from lexitrain.abtest.planning.plan import AbPlan, AbQuestion, plan_ab
from lexitrain.abtest.planning.traffic import AbTraffic, FormerTest, former_test

__all__ = ["AbPlan", "AbQuestion", "AbTraffic", "FormerTest", "former_test", "plan_ab"]
