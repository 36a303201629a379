"""`--custom-task` beside the tasks that a recipe names, and where the recipe is a run's."""

from __future__ import annotations

from pathlib import Path

import pytest

from lexitrain import recipe_with_tasks
from lexitrain.errors import RecipeError


def test_the_given_tasks_stand_beside_those_of_the_recipe(tmp_path: Path) -> None:
    recipe = tmp_path / "own.yaml"
    recipe.write_text("extends: demo\ndata:\n  custom_tasks: [/somewhere/first.py]\n")
    found = recipe_with_tasks(recipe, (), ["/else/second.py", "/somewhere/first.py"])
    assert found.data.custom_tasks == ("/somewhere/first.py", "/else/second.py")


def test_of_a_run_only_the_given_ones_are_taken(tmp_path: Path) -> None:
    recipe = tmp_path / "recipe.yaml"
    recipe.write_text("extends: demo\ndata:\n  custom_tasks: [/somewhere/first.py]\n")
    (tmp_path / "events.jsonl").write_text("")
    with pytest.raises(RecipeError, match="recipe of a run"):
        recipe_with_tasks(recipe)
    found = recipe_with_tasks(recipe, ["lora.rank=4"], ["/else/second.py"])
    assert found.data.custom_tasks == ("/else/second.py",)
    assert found.lora.rank == 4
    with pytest.raises(RecipeError, match=r"lora\.rank"):
        recipe_with_tasks(recipe, ["lora.rank=-4"], ["/else/second.py"])


def test_a_task_that_both_name_is_one(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    recipe = tmp_path / "ours.yaml"
    recipe.write_text("extends: demo\ndata:\n  custom_tasks: [mine.py]\n")
    found = recipe_with_tasks(recipe, (), ["mine.py", str(tmp_path / "mine.py")])
    assert found.data.custom_tasks == (str(tmp_path / "mine.py"),)
