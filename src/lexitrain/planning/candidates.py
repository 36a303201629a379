"""Which recipes a search chooses among, and what of the user's own stays in all of them.

A recipe of the user's takes the place of the shipped one of its name. What he has set with `--set` is set in every
choice, and so is what of his recipe says what is trained and where it is kept and told, and not how: his tasks, their
weights, the seed, mirror, trackers and the like. A shipped recipe in which that cannot be is no choice; which one, and
why, is said.
"""

from __future__ import annotations

import json
import re
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from lexitrain.errors import RecipeError
from lexitrain.recipe import (
    Recipe,
    field_value,
    fields_from_defaults,
    is_free_on_resume,
    load_recipe,
    recipe_fields,
    recipe_names,
)

CANDIDATES = ("best", "quality", "balanced", "fast", "fastest")
"""The shipped recipes that a search tries: those for a GPU whose steps hold no padding."""

_PLAIN = re.compile(r"[A-Za-z/_][\w/-]*", re.ASCII)
_NO_TEXT = {"true", "false", "yes", "no", "on", "off", "null", "y", "n"}
"""Words that YAML reads as something else than text."""

_ITS_NAME = {"name", "description"}
_WHAT_IS_TRAINED = {
    *("seed", "step.memory_limit"),
    *("data.tasks", "data.task_weights", "data.custom_tasks", "data.system", "data.adapters"),
}


@dataclass(frozen=True, slots=True)
class Candidates:
    """The recipes of a search.

    Attributes:
        recipes: to choose from, at least one.
        settings: what to give with `--set` so that a recipe keeps what the user has set.
        kept: the fields that are as the user has set them, by their dotted names.
        notes: which recipes are no choice and why, and what is kept, a sentence each.
    """

    recipes: tuple[Recipe, ...]
    settings: tuple[str, ...] = ()
    kept: frozenset[str] = frozenset()
    notes: tuple[str, ...] = ()

    def keeps(self, before: Recipe, after: Recipe) -> bool:
        """Whether a changed recipe has what the user has set."""
        return all(field_value(before, name) == field_value(after, name) for name in self.kept)


def candidates(own: Recipe, overrides: Sequence[str] | None = None) -> Candidates:
    """What a search tries: the shipped recipes without waste, and the user's own.

    Args:
        own: the user's, with his overrides.
        overrides: `field=value` each, as he has set them; None: what differs from the shipped recipe of that name.
    """
    shipped = own.name in recipe_names()
    given = _set(own, overrides) if overrides is not None or not shipped else _differing(own)
    taken = {_field(each) for each in given}
    carried = [
        each for each in _of_what_is_trained(own, shipped=shipped) if _field(each) not in taken
    ]
    settings = (*given, *carried)
    recipes: list[Recipe] = []
    notes: list[str] = []
    for name in CANDIDATES:
        if name == own.name:
            recipes.append(own)
            continue
        try:
            recipes.append(load_recipe(name, settings))
        except RecipeError as error:
            notes.append(
                f"{name} is not considered, as your settings cannot be in it: {error.what}"
            )
    if own.name not in CANDIDATES:
        if recipes and shipped and own == load_recipe(own.name, settings):
            notes.append(
                f"{own.name} is not considered: it is not one of those that a search tries."
            )
        else:
            recipes.append(own)
    if settings:
        notes.append(f"As you have set it, in every choice: {', '.join(settings)}")
    return Candidates(tuple(recipes), settings, frozenset(map(_field, settings)), tuple(notes))


def _field(setting: str) -> str:
    return setting.partition("=")[0].strip()


def _set(own: Recipe, overrides: Sequence[str] | None) -> list[str]:
    """The leaf fields that overrides set, an override of a section being one of each field that it names."""
    found: dict[str, str] = {}
    for text in overrides or ():
        name = _field(text)
        if name in _ITS_NAME:
            continue
        fields = [dotted for dotted, _ in recipe_fields() if f"{dotted}.".startswith(f"{name}.")]
        inside = [dotted for dotted, _ in recipe_fields() if name.startswith(f"{dotted}.")]
        missing = set(fields_from_defaults(own))
        for dotted in fields or inside:
            if dotted not in missing:
                found[dotted] = _setting(own, dotted)
    return list(found.values())


def _differing(own: Recipe) -> list[str]:
    before = load_recipe(own.name)
    return [
        _setting(own, dotted)
        for dotted, _ in recipe_fields()
        if dotted not in _ITS_NAME and field_value(own, dotted) != field_value(before, dotted)
    ]


def _of_what_is_trained(own: Recipe, *, shipped: bool) -> list[str]:
    """What of the user's recipe says what is trained, and where it is kept and told."""
    before = load_recipe(own.name) if shipped else Recipe()
    defaults = set(fields_from_defaults(own))
    return [
        _setting(own, dotted)
        for dotted, info in recipe_fields()
        if (dotted in _WHAT_IS_TRAINED or is_free_on_resume(info))
        and dotted not in _ITS_NAME | defaults
        and field_value(own, dotted) != field_value(before, dotted)
    ]


def _setting(recipe: Recipe, dotted: str) -> str:
    value: Any = field_value(recipe, dotted)
    plain = isinstance(value, str) and _PLAIN.fullmatch(value) and value.casefold() not in _NO_TEXT
    return f"{dotted}={value if plain else json.dumps(value, ensure_ascii=False)}"
