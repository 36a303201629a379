"""Within so many hours and so much memory: the highest-ranked recipe that fits, or the nearest."""

from __future__ import annotations

import pytest

from lexitrain.planning import Planner, find_gpu
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
    assert found.best.recipe.schedule.epochs == found.best.plan.recipe.schedule.epochs
    assert found.best.recipe in recipes or found.best.settings
    assert found.best in found.pareto
    decided = dict(zip(map(id, found.pareto), found.decided, strict=True))
    assert decided[id(found.best)] == "taken"
    for option, why in zip(found.pareto, found.decided, strict=True):
        if option.plan.hours.expected > hours * 1.01:
            assert "h too long" in why
        elif option.plan.recipe.schedule.epochs < found.best.plan.recipe.schedule.epochs:
            assert why == "fewer epochs"
    assert found.to_json()["pareto"][0]["decided"] == found.decided[0]
    nothing = recommend(recipes, planned, hours=hours / 1e6, memory_gb=None)
    assert nothing.best is None
    assert nothing.nearest is not None
    assert nothing.nearest.plan.recipe.schedule.epochs == 1
    assert "Nothing fits" in nothing.why
    assert any(why.startswith("nearest; ") for why in nothing.decided)


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


def test_all_candidates_read_the_records_of_the_users_own_tasks():
    own = load_recipe("fast", ['data.custom_tasks=["package.tasks:Mine"]'])
    assert {each.data.custom_tasks for each in candidates(own)} == {("package.tasks:Mine",)}
    assert len(candidates(own)) == len(CANDIDATES)


@pytest.mark.parametrize(
    ("samples", "epochs", "told"), [(4496, 7, True), (4496, 3, False), (18_400, 7, False)]
)
def test_few_samples_and_many_epochs_are_warned_of(samples: int, epochs: int, told: bool) -> None:
    planner = Planner(find_gpu("CPU"), samples=samples, calibrated=False)
    plan = planner.plan(load_recipe("demo", [*ON_NANO, f"schedule.epochs={epochs}"]))
    warned = any("early_stopping" in each for each in planner.warnings(plan))
    assert warned == told
