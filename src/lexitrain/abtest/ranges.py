"""Numbers that a user gives: each has a range, and what lies outside is refused before it means something else."""

from __future__ import annotations

import math

from lexitrain.errors import InputError

LONGEST_WAIT = 600.0
"""Seconds that an answer may be waited for."""
MOST_UNEVEN = 1000.0
"""How many times the learners of one arm those of the other may be."""


def require_between(value: float, low: float, high: float, where: str, name: str) -> None:
    """Nothing, where `low <= value <= high`; NaN lies nowhere.

    Args:
        where: the option.
        name: what the number is.

    Raises:
        InputError: it lies outside.
    """
    if not low <= value <= high:
        allowed = f"between {low:g} and {high:g}" if math.isfinite(high) else f"{low:g} or more"
        raise InputError(f"The {name} is {value:g}.", where=where, fix=f"Permitted is {allowed}.")


def require_ratio(ratio: tuple[float, float]) -> None:
    """Raises InputError where learners cannot be assigned in this ratio, or one arm would hardly get any."""
    if not all(0 < each < math.inf for each in ratio) or max(ratio) > MOST_UNEVEN * min(ratio):
        raise InputError(
            f"{ratio[0]:g}:{ratio[1]:g} is no ratio.",
            where="--ratio",
            fix=f"Give two numbers above 0, as 1:1 for half and half; at most {MOST_UNEVEN:g}:1.",
        )
