"""Within so many hours and so much memory: the highest-ranked recipe that fits, or the nearest."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest

from lexitrain.planning import Plan, Planner, find_gpu
from lexitrain.planning.candidates import CANDIDATES, Candidates, candidates
from lexitrain.planning.estimate.search import recommend
from lexitrain.recipe import Recipe, field_value
from lexitrain.recipe.yaml_file import load_recipe, recipe_names
from tests.planning.estimate.test_plan import ON_NANO, planned


@pytest.mark.slow
def test_a_search_takes_the_best_that_fits():
    recipes = [
        load_recipe("fast", [*ON_NANO, f"schedule.epochs={epochs}", f"name=e{epochs}"])
        for epochs in (1, 3, 9)
    ]
    hours = planned(recipes[1]).hours.expected
    found = recommend(Candidates(tuple(recipes)), planned, hours=hours * 1.01, memory_gb=None)
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
    nothing = recommend(Candidates(tuple(recipes)), planned, hours=hours / 1e6, memory_gb=None)
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
        ("fast", ["lora.rank=8"], False),
        ("fast", ["name=mine"], True),
        ("demo", ["lora.rank=8"], False),
        ("slow", [], False),
        ("demo", ["name=mine"], True),
    ],
)
def test_the_users_own_recipe_joins_or_takes_the_place_of_the_shipped_one(
    recipe: str, changes: list[str], joins: bool
):
    own = load_recipe(recipe, changes)
    among = candidates(own, changes)
    found = among.recipes
    assert [each.name for each in found[: len(CANDIDATES)]] == list(CANDIDATES)
    assert found[len(CANDIDATES) :] == ((own,) if joins else ())
    if recipe == "fast" and not joins:
        assert found[CANDIDATES.index("fast")] == own
    if "lora.rank=8" in changes:
        assert {each.lora.rank for each in found} == {8}
    told = any(each.startswith(f"{recipe} is not considered") for each in among.notes)
    assert told == (own.name in {"demo", "slow"})


def test_a_users_file_of_a_shipped_name_is_considered(tmp_path: Path):
    for name in ("fast", "slow"):
        file = tmp_path / f"{name}.yaml"
        file.write_text("extends: fast\nlora: {rank: 4}\nseed: 7\ntrackers: [tensorboard]\n")
        own = load_recipe(file)
        found = candidates(own, []).recipes
        assert own in found
        assert [each.name for each in found].count(name) == 1
        assert {each.lora.rank for each in found} > {4}  # a file is a choice, not a demand
        assert {each.seed for each in found} == {7}
        assert {each.trackers for each in found} == {("tensorboard",)}


@pytest.mark.parametrize(
    ("changes", "kept"),
    [
        (["lora={rank: 8, alpha: 8}"], {"lora.rank", "lora.alpha"}),
        (["data.task_weights.grammar=2"], {"data.task_weights"}),
        (['trackers=["wandb:a b"]'], {"trackers"}),
        (["checkpoints.mirror=/drive/a b"], {"checkpoints.mirror"}),
        (["model.base=nano", "schedule.epochs=4"], {"model.base", "schedule.epochs"}),
        (["name=fast", "description=ours"], set[str]()),
        (['data.system="-5"'], {"data.system"}),
        (['data.system="no"'], {"data.system"}),
    ],
)
def test_what_is_set_is_set_in_every_choice(changes: list[str], kept: set[str]):
    own = load_recipe("fast", changes)
    among = candidates(own, changes)
    assert among.kept == kept
    assert len(among.recipes) == len(CANDIDATES)
    for each in among.recipes:
        for name in kept:
            assert field_value(each, name) == field_value(own, name)
    assert any("in every choice" in each for each in among.notes) == bool(kept)
    # With the name of a recipe these settings give it again.
    for each in among.recipes:
        if each.name != "fast":
            assert load_recipe(each.name, among.settings) == each


def test_a_recipe_in_which_the_settings_cannot_be_is_no_choice(monkeypatch: pytest.MonkeyPatch):
    changes = ["step.loss=all_tokens", "step.layout=packed"]
    assert len(candidates(load_recipe("fast", changes), changes).recipes) == len(CANDIDATES)
    changes = ["step.micro_batch=20"]
    smaller = {name: load_recipe(name).step.effective_batch < 20 for name in CANDIDATES}
    among = candidates(load_recipe("fast", changes), changes)
    assert {each.name for each in among.recipes} == {
        name for name in CANDIDATES if not smaller[name]
    }
    for name in CANDIDATES:
        told = any(each.startswith(f"{name} is not considered") for each in among.notes)
        assert told == smaller[name]


@pytest.mark.parametrize(
    "changes",
    [
        ["model.quantization=nf4"],
        ["step.gradient_checkpointing=never"],
        ["step.micro_batch=4"],
        ["step.token_budget=2048"],
        ["schedule.epochs=9"],
    ],
)
def test_no_setting_of_the_search_replaces_one_of_the_user(changes: list[str]):
    own = load_recipe("fast", [*ON_NANO, *changes])
    among = replace(candidates(own, [*ON_NANO, *changes]), recipes=(own,))
    plan = planned(load_recipe("fast", ON_NANO))
    asked: list[Recipe] = []

    def plan_of(recipe: Recipe) -> Plan:
        asked.append(recipe)
        return plan

    found = recommend(among, plan_of, hours=plan.hours.expected * 0.7, memory_gb=None)
    assert own in asked
    for recipe in asked:
        for name in among.kept:
            assert field_value(recipe, name) == field_value(own, name)
    assert found.nearest is not None
    assert changes[0] in found.nearest.settings
    assert found.to_json()["notes"] == list(among.notes)


def test_all_candidates_read_the_records_of_the_users_own_tasks():
    own = load_recipe("fast", ['data.custom_tasks=["package.tasks:Mine"]'])
    for among in (candidates(own), candidates(own, [])):
        assert {each.data.custom_tasks for each in among.recipes} == {("package.tasks:Mine",)}
        assert len(among.recipes) == len(CANDIDATES)


@pytest.mark.parametrize(
    ("samples", "epochs", "told"), [(4496, 7, True), (4496, 3, False), (18_400, 7, False)]
)
def test_few_samples_and_many_epochs_are_warned_of(samples: int, epochs: int, told: bool) -> None:
    planner = Planner(find_gpu("CPU"), samples=samples, calibrated=False)
    plan = planner.plan(load_recipe("demo", [*ON_NANO, f"schedule.epochs={epochs}"]))
    warned = any("early_stopping" in each for each in planner.warnings(plan))
    assert warned == told
