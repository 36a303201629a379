"""best.yaml: the recipe that came out best, as what it changes of the one that was given."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import yaml

from lexitrain.recipe import field_value, load_recipe, recipe_fields, recipe_names
from lexitrain.storage import user_path, write_file
from lexitrain.tuning.designs.sweep import changed

if TYPE_CHECKING:
    from lexitrain.recipe import Recipe
    from lexitrain.tuning.designs.unit import Changes

FILE = "best.yaml"
_OWN = {"name", "description"}


def write_best(
    path: Path, given: str, overrides: Sequence[str], changes: Changes, description: str
) -> None:
    """Write a recipe that extends the given one by these changes and by the overrides of the command.

    Args:
        path: of the file.
        given: name or path of the recipe, as the user gave it.
        overrides: as the user gave them.
        changes: that came out best.
        description: why.
    """
    before = load_recipe(given, trust_tasks=True)
    after = changed(load_recipe(given, overrides, trust_tasks=True), changes)
    content: dict[str, Any] = {
        "extends": given if given in recipe_names() else str(user_path(given).absolute()),
        "description": description,
        **_differences(before, after),
    }
    dump: Any = yaml.safe_dump
    text = dump(content, sort_keys=False, allow_unicode=True, width=100)
    write_file(path, text.encode())


def _differences(before: Recipe, after: Recipe) -> dict[str, Any]:
    """The fields that differ, in their sections."""
    written = after.model_dump(mode="json")
    found: dict[str, Any] = {}
    for dotted, _ in recipe_fields():
        if dotted in _OWN or field_value(before, dotted) == field_value(after, dotted):
            continue
        *sections, name = dotted.split(".")
        inner, value = found, written
        for section in sections:
            inner, value = inner.setdefault(section, {}), value[section]
        inner[name] = value[name]
    return found
