"""A recipe with tasks of the user's own that a call names, beside those that the recipe names itself."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path

from lexitrain.errors import RecipeError
from lexitrain.recipe.schema import Recipe
from lexitrain.recipe.yaml_file import load_recipe


def recipe_with_tasks(
    name_or_path: str | Path, overrides: Sequence[str] = (), custom_tasks: Sequence[str] = ()
) -> Recipe:
    """Read a recipe, with tasks of the user's own beside those that its `data.custom_tasks` names.

    Those that the recipe of a run names are code that may come from anybody: there the given ones alone are taken.

    Args:
        name_or_path, overrides: as of `load_recipe`.
        custom_tasks: `path.py` or `module:attribute`.

    Raises:
        RecipeError: as of `load_recipe`.
    """
    given = list(overrides)
    if not custom_tasks:
        return load_recipe(name_or_path, given)

    def with_tasks(names: Sequence[str]) -> Recipe:
        return load_recipe(name_or_path, [*given, f"data.custom_tasks={json.dumps([*names])}"])

    alone = with_tasks(custom_tasks)
    try:
        named = load_recipe(name_or_path, given).data.custom_tasks
    except RecipeError:  # it names tasks of its own, which only the user may
        return alone
    # Both by their whole paths, so that a task which the recipe and the call name is one.
    return with_tasks(list(dict.fromkeys([*named, *alone.data.custom_tasks])))
