"""The planner: one device, one set of records, each recipe planned once."""

from __future__ import annotations

from pathlib import Path

import pytest

from lexitrain.errors import DataError
from lexitrain.planning import planner as planner_module
from lexitrain.planning.candidates import Candidates
from lexitrain.planning.devices.catalogue import find_gpu
from lexitrain.planning.estimate.plan import Plan
from lexitrain.planning.planner import Planner
from lexitrain.recipe.yaml_file import load_recipe

L4 = find_gpu("L4")
DEMO = load_recipe("demo")


def test_a_recipe_is_planned_once(monkeypatch: pytest.MonkeyPatch):
    planner = Planner(L4, samples=100, price=2.0, memory_gb=8, calibrated=False)
    first = planner.plan(DEMO)
    assert (first.gpu, first.price, first.memory_limit) == (L4, 2.0, 8e9)
    assert first.steps.samples == 100
    monkeypatch.setattr(planner_module, "make_plan", None)
    assert planner.plan(load_recipe("demo")) is first
    with pytest.raises(TypeError):
        planner.plan(load_recipe("demo", ["lora.rank=8"]))


def test_warnings_stand_in_the_document_only_where_they_are_given():
    planner = Planner(L4, samples=100, memory_gb=0.02, calibrated=False)
    plan = planner.plan(DEMO)
    warnings = planner.warnings(plan)
    assert any("It needs" in warning for warning in warnings)
    assert "warnings" not in plan.to_json()
    assert plan.to_json(warnings) == plan.to_json() | {"warnings": warnings}


def test_both_recipes_of_a_comparison_are_planned_for_the_same_device():
    planner = Planner(L4, samples=100, calibrated=False)
    found = planner.compare(load_recipe("demo", ["schedule.epochs=2"]), DEMO)
    assert found.b is planner.plan(DEMO)
    assert found.a.gpu == L4
    assert found.a.hours.expected > found.b.hours.expected


def test_a_search_is_over_the_candidates_within_the_limits(monkeypatch: pytest.MonkeyPatch):
    asked = {}

    def recommend(among: Candidates, plan_of: object, **limits: object) -> str:
        asked.update(limits, recipes=[recipe.name for recipe in among.recipes])
        return "found"

    monkeypatch.setattr(planner_module, "recommend", recommend)
    planner = Planner(L4, samples=100, memory_gb=15)
    assert planner.recommend(load_recipe("fast", ["name=mine"]), 4.0) == "found"
    assert asked.pop("recipes")[-1] == "mine"
    assert asked == {"hours": 4.0, "memory_gb": 15}


def test_records_that_are_not_there_are_refused_at_once(tmp_path: Path):
    with pytest.raises(DataError, match="no such file"):
        Planner(L4, data=tmp_path / "none.jsonl")


def test_a_plan_is_what_its_planner_says(tmp_path: Path):
    file = tmp_path / "mine.jsonl"
    line = (
        '{"task": "grammar", "input": "He go.", "output": {"corrected": "He goes.", "errors": []}}'
    )
    file.write_text((line + "\n") * 30, encoding="utf-8")
    plan: Plan = Planner(L4, data=file, calibrated=False).plan(DEMO)
    assert plan.data.exact
    assert plan.steps.samples == 30
