"""What is claimed of changes between two recipes, read from `claims.yaml`, and whether a plan bears it out.

Reading costs milliseconds.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from functools import cache
from importlib.resources import files
from pathlib import PurePosixPath
from typing import TYPE_CHECKING, Any, Literal

import yaml

from lexitrain.planning.versus.gains import GAINS
from lexitrain.recipe import field_value, recipe_names

if TYPE_CHECKING:
    from lexitrain.planning.estimate.plan import Plan
    from lexitrain.recipe import Recipe

_ENOUGH = 0.9
"""A claim holds when what is foreseen reaches this share of it, and it no more than this share of what is foreseen:
claims are round numbers."""

Verdict = Literal["holds", "exceeded", "does not hold"]
"""`exceeded`: more is foreseen than was claimed, so that the claim does not describe the change either."""

Wanted = Mapping[str, tuple[Any, ...]]
"""Field of a recipe -> the values and patterns of which it must meet one."""


@dataclass(frozen=True, slots=True)
class Claim:
    """What somebody says that a change gains.

    Attributes:
        row: the line of the table that it stands in.
        old, new: what the recipes before and after the change must hold for the claim to be about them.
        text: the claim, as it is shown.
        gain: name of what is claimed, see `lexitrain.planning.versus.gains`.
        value: how much of it, at least.
        most: how much at most; `value` where the claim is one number.
    """

    row: str
    old: Wanted
    new: Wanted
    text: str
    gain: str
    value: float
    most: float

    def is_about(self, old: Recipe, new: Recipe) -> bool:
        """Whether going from `old` to `new` is the change that the claim speaks of: of the shipped recipes, which stand
        for what the team ran. Nobody claims anything of a user's own, whatever it has in common with them."""
        if {old.name, new.name} - set(recipe_names()):
            return False
        return _meets(old, self.old) and _meets(new, self.new)

    def verdict(self, before: Plan, after: Plan) -> Verdict:
        """Whether the plans before and after the change bear the claim out."""
        gained = GAINS[self.gain](before, after)
        if gained < _ENOUGH * self.value:
            return "does not hold"
        return "holds" if _ENOUGH * gained <= self.most else "exceeded"


@cache
def claims() -> tuple[Claim, ...]:
    """All claims that the package holds, in the table's order."""
    text = files("lexitrain.planning.versus").joinpath("claims.yaml").read_text(encoding="utf-8")
    entries: list[dict[str, Any]] = yaml.safe_load(text)
    return tuple(
        Claim(
            row=entry["row"],
            old=_wanted(entry["old"]),
            new=_wanted(entry["new"]),
            text=entry["claim"],
            gain=entry["gain"],
            value=float(entry["value"]),
            most=float(entry.get("most", entry["value"])),
        )
        for entry in entries
    )


def claim_about(row: str, old: Recipe, new: Recipe) -> Claim | None:
    """The claim that stands in a line of the table when these recipes are compared; None if there is none."""
    return next((each for each in claims() if each.row == row and each.is_about(old, new)), None)


def _wanted(fields: Mapping[str, Any]) -> Wanted:
    return {
        dotted: tuple(wanted) if isinstance(wanted, list) else (wanted,)
        for dotted, wanted in fields.items()
    }


def _meets(recipe: Recipe, wanted: Wanted) -> bool:
    return all(
        any(_matches(field_value(recipe, dotted), each) for each in values)
        for dotted, values in wanted.items()
    )


def _matches(value: Any, wanted: Any) -> bool:
    if isinstance(wanted, str):
        # From the right, so that a base is told by its own name whatever folder or account it is in.
        return isinstance(value, str) and PurePosixPath(value).match(wanted)
    return value == wanted
