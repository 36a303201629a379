"""`--custom-task` and `--trust-tasks`, the same options wherever records have a task."""

from __future__ import annotations

import json
from collections.abc import Sequence
from typing import TYPE_CHECKING

import typer

from lexitrain.errors import RecipeError

if TYPE_CHECKING:
    from lexitrain import Recipe

CUSTOM_TASK = typer.Option(
    "--custom-task",
    metavar="PATH.py|MODULE:ATTRIBUTE",
    help="A task of your own; its code is run. May be given several times.",
)

TRUST_TASKS = typer.Option(
    "--trust-tasks", help="Run the code of the tasks that the run names as its own."
)


def recipe_with_tasks(
    recipe: str, overrides: Sequence[str] | None, custom_tasks: Sequence[str] | None
) -> Recipe:
    """The recipe, with the tasks of `--custom-task` beside those that its `data.custom_tasks` names.

    Those that the recipe of a run names are code that may come from anybody: there the given ones alone are taken.
    """
    from lexitrain import load_recipe

    given = list(overrides or ())
    if not custom_tasks:
        return load_recipe(recipe, given)

    def with_tasks(names: Sequence[str]) -> Recipe:
        return load_recipe(recipe, [*given, f"data.custom_tasks={json.dumps([*names])}"])

    alone = with_tasks(custom_tasks)
    try:
        named = load_recipe(recipe, given).data.custom_tasks
    except RecipeError:  # it names tasks of its own, which only the user may
        return alone
    return with_tasks(list(dict.fromkeys([*named, *custom_tasks])))
