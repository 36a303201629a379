"""Where a field of a mapped record comes from, and what a row's cell is worth there."""

from __future__ import annotations

import json
import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, cast

from lexitrain.records import BadRow

Cells = Mapping[str, Any]

MISSING = object()
"""In place of a cell: the row has no such column."""

_DECIMALS = 6  # of a scaled number


@dataclass(frozen=True, slots=True)
class Source:
    """Where a field comes from.

    Attributes:
        text: as the user wrote it: a column's name or path, or the constant.
        is_constant: it is the value itself.
        scaled_column: the column, where `text` is no column of the row but one with a scale.
        factor, divisor: the scale.
    """

    text: str
    is_constant: bool = False
    scaled_column: str = ""
    factor: float = 1.0
    divisor: float = 1.0

    def is_in(self, cells: Cells) -> bool:
        """Whether the row has the column."""
        return self._cell(cells)[0] is not MISSING

    def value(self, cells: Cells) -> Any:
        """The constant or the cell, scaled; None where there is none. Raises BadRow where a scale meets no number."""
        if self.is_constant:
            return self.text
        value, scaled = self._cell(cells)
        if value is MISSING:
            return None
        if not scaled or is_empty(value):
            return value
        number = as_number(value)
        if number is None:
            raise BadRow(f"{str(value)[:60]!r} in the column {self.scaled_column} is no number")
        return round(number * self.factor / self.divisor, _DECIMALS)

    def _cell(self, cells: Cells) -> tuple[Any, bool]:
        found = _looked_up(cells, self.text)
        if found is MISSING and self.scaled_column:
            return _looked_up(cells, self.scaled_column), True
        return found, False


def is_empty(value: object) -> bool:
    """Whether a cell holds nothing; tables write a missing number as NaN."""
    if isinstance(value, str):
        return not value.strip()
    if isinstance(value, float):
        return math.isnan(value)
    return value is None or value in ([], {})


def as_number(value: object) -> float | None:
    """The finite number that a cell holds, also as text; else None."""
    if isinstance(value, bool) or not isinstance(value, int | float | str):
        return None
    try:
        number = float(value)
    except (ValueError, OverflowError):
        return None
    return number if math.isfinite(number) else None


def decoded(value: object) -> object:
    """Cells of tables hold lists and objects as JSON text; text that is no JSON stays text."""
    if isinstance(value, str) and value.lstrip()[:1] in ("{", "["):
        try:
            return json.loads(value)
        except (ValueError, RecursionError):
            return value
    return value


def _looked_up(cells: Cells, name: str) -> Any:
    """A column of this very name, else a path into objects."""
    if name in cells:
        return cells[name]
    parts = name.split(".")
    for length in range(len(parts) - 1, 0, -1):
        outer = ".".join(parts[:length])
        if outer in cells:
            inner = decoded(cells[outer])
            if isinstance(inner, Mapping):
                return _looked_up(cast(Cells, inner), ".".join(parts[length:]))
    return MISSING
