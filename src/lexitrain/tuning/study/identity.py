"""Whose study it is: the recipe, the data and the space that it is about, and the folder of its runs.

A study goes on with what it was begun with. Other trials would be compared with its own as if they answered the same
question.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from lexitrain.errors import RunChanged
from lexitrain.recipe import Recipe, recipe_from_yaml, recipe_to_yaml, training_differences

_FIX = "Give the study's own recipe, data and space, or another --out (and --study, where a database holds several)."


@dataclass(frozen=True)
class Identity:
    """What a study is about.

    Attributes:
        recipe: that the trials change.
        data: name of a file -> its SHA-256.
        space: as the design says it.
    """

    recipe: Recipe
    data: Mapping[str, str]
    space: Mapping[str, Any]

    def to_json(self) -> dict[str, Any]:
        """As it is kept with the study."""
        return {
            "recipe": recipe_to_yaml(self.recipe),
            "data": dict(self.data),
            "space": dict(self.space),
        }

    def require_same(self, kept: Mapping[str, Any], where: str) -> None:
        """Raises RunChanged, naming the difference, where a study was begun with something else."""
        before = recipe_from_yaml(str(kept["recipe"]), where)
        differences = [f"recipe: {each}" for each in training_differences(before, self.recipe)]
        differences += [
            f"data: {name} is another file"
            for name in sorted({*kept["data"], *self.data})
            if kept["data"].get(name) != self.data.get(name)
        ]
        spaces = [json.loads(json.dumps(dict(each))) for each in (kept["space"], self.space)]
        differences += [
            f"space: {name}: {spaces[0].get(name)} -> {spaces[1].get(name)}"
            for name in sorted({*spaces[0], *spaces[1]})
            if spaces[0].get(name) != spaces[1].get(name)
        ]
        if differences:
            raise RunChanged(
                f"This study was begun with something else: {'; '.join(differences)}.",
                where=where,
                fix=_FIX,
            )
