"""Within so many hours and so much memory: the highest-ranked recipe that fits, or the nearest."""

from __future__ import annotations

import pytest

from lexitrain.planning.estimate.search import CANDIDATES, candidates, recommend
from lexitrain.recipe.yaml_file import load_recipe, recipe_names
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


def test_candidates_are_shipped_and_pad_nothing():
    assert set(CANDIDATES) < set(recipe_names())
    assert all(load_recipe(name).step.layout != "padded" for name in CANDIDATES)


@pytest.mark.parametrize(
    ("recipe", "changes", "joins"),
    [
        ("fast", [], False),
        ("fast", ["lora.rank=8"], True),
        ("fast", ["name=mine"], True),
        ("demo", ["lora.rank=8"], False),
        ("slow", [], False),
        ("demo", ["name=mine"], True),
    ],
)
def test_the_users_own_recipe_joins_unless_it_is_a_shipped_one(
    recipe: str, changes: list[str], joins: bool
):
    own = load_recipe(recipe, changes)
    found = candidates(own)
    assert [each.name for each in found[: len(CANDIDATES)]] == list(CANDIDATES)
    assert found[len(CANDIDATES) :] == ([own] if joins else [])
