"""Levers: every field has its place, and the shares sum to the whole."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from lexitrain.planning.rehearsal.target import Engine
from lexitrain.planning.versus.levers import (
    LEVERS,
    SETTINGS_WITHOUT_COST,
    Measure,
    mixed,
    pull_levers,
)
from lexitrain.recipe.schema import Recipe, recipe_fields
from lexitrain.recipe.yaml_file import load_recipe, recipe_names

engines: st.SearchStrategy[Engine] = st.sampled_from(("lexitrain", "trainer"))
recipes = st.sampled_from([load_recipe(name) for name in recipe_names()])


def costly(recipe: Recipe, engine: Engine = "lexitrain") -> Measure:
    """Some measure in which all settings depend on each other."""
    work = recipe.schedule.epochs * recipe.data.max_length**1.5 * (1 + recipe.lora.rank / 10)
    work *= 3 if "1.5B" in recipe.model.base else 1
    work *= 2 if recipe.step.layout == "padded" else 1
    work *= 2 if engine == "trainer" else 1
    memory = (
        recipe.data.max_length * recipe.lora.rank / (1 if recipe.step.micro_batch == "auto" else 3)
    )
    return Measure(work, memory if engine == "lexitrain" else 3 * memory)


def test_every_recipe_field_belongs_to_a_lever_or_costs_nothing():
    placed = [field for fields in LEVERS.values() for field in fields] + [*SETTINGS_WITHOUT_COST]
    assert sorted(placed) == sorted(dotted for dotted, _ in recipe_fields())


@given(recipes, recipes, engines, engines)
def test_the_shares_sum_to_the_whole(old: Recipe, new: Recipe, one: Engine, other: Engine):
    levers = pull_levers(old, new, costly, (one, other))
    before, after = costly(old, one), costly(new, other)
    assert ("engine" in {each.name for each in levers}) == (one != other)
    assert sum(each.hours for each in levers) == pytest.approx(before.hours - after.hours)
    saved = sum(each.memory_gb for each in levers)
    assert saved == pytest.approx(before.memory_gb - after.memory_gb, abs=1e-6)


@given(recipes, recipes)
def test_exchanging_the_recipes_changes_the_signs(old: Recipe, new: Recipe):
    there, back = pull_levers(old, new, costly), pull_levers(new, old, costly)
    assert [each.name for each in there] == [each.name for each in back]
    for one, other in zip(there, back, strict=True):
        assert one.hours == pytest.approx(-other.hours)


def test_all_levers_together_make_the_new_recipe():
    old, new = load_recipe("slow"), load_recipe("fast")
    whole = mixed(old, new, frozenset(LEVERS))
    for section in ("model", "data", "step", "lora", "checkpoints", "validation"):
        assert getattr(whole, section) == getattr(new, section)
    assert mixed(old, new, frozenset()) == old


def test_a_change_is_told_with_its_values():
    (lever,) = pull_levers(load_recipe("fast"), load_recipe("fast", ["lora.rank=8"]), costly)
    assert (lever.name, lever.change) == ("LoRA rank", "lora.rank 16 → 8")
