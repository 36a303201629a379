"""Within so many hours and so much memory: the highest-ranked recipe that fits, or the nearest."""

from __future__ import annotations

import pytest

from lexitrain.planning.estimate.search import recommend
from lexitrain.recipe.yaml_file import load_recipe
from tests.planning.estimate.test_plan import ON_NANO, planned


@pytest.mark.slow
def test_a_search_takes_the_best_that_fits():
    recipes = [
        load_recipe("fast", [*ON_NANO, f"schedule.epochs={epochs}", f"name=e{epochs}"])
        for epochs in (1, 3, 9)
    ]
    hours = planned(recipes[1]).hours.expected
    found = recommend(recipes, planned, hours=hours * 1.01, memory_gb=None)
    assert found.best is not None
    assert found.best.plan.hours.expected <= hours * 1.01
    assert found.best.plan.recipe.schedule.epochs >= 3
    assert found.best in found.pareto
    nothing = recommend(recipes, planned, hours=hours / 1e6, memory_gb=None)
    assert nothing.best is None
    assert nothing.nearest is not None
    assert nothing.nearest.plan.recipe.schedule.epochs == 1
    assert "Nothing fits" in nothing.why
