"""`--custom-task`, the same option wherever records have a task."""

from __future__ import annotations

import json
from collections.abc import Sequence
from typing import TYPE_CHECKING

import typer

if TYPE_CHECKING:
    from lexitrain import Recipe

CUSTOM_TASK = typer.Option(
    "--custom-task",
    metavar="PATH.py|MODULE:ATTRIBUTE",
    help="A task of your own; its code is run. May be given several times.",
)


def recipe_with_tasks(
    recipe: str, overrides: Sequence[str] | None, custom_tasks: Sequence[str] | None
) -> Recipe:
    """The recipe, with the tasks of `--custom-task` beside those that its `data.custom_tasks` names."""
    from lexitrain import load_recipe

    loaded = load_recipe(recipe, overrides or ())
    if not custom_tasks:
        return loaded
    named = list(dict.fromkeys([*loaded.data.custom_tasks, *custom_tasks]))
    return load_recipe(recipe, [*(overrides or ()), f"data.custom_tasks={json.dumps(named)}"])
