"""Values of JSON files that anybody may have written, as numbers and texts that can be shown.

A file of a run may be damaged, of another version or of another program. What is not what it should be is taken for
not there, never for something else; what reads it has nothing to catch.
"""

from __future__ import annotations

import math
from typing import Any

_LONGEST = 400  # characters
_LARGEST, _SMALLEST = 1e18, 1e-30
"""Of a number that can be drawn: nothing that is measured here lies beyond."""


def number(value: object) -> float | None:
    """A finite number; None for anything else, truth values too, and for what no measurement gives. Next to nothing
    is 0."""
    if isinstance(value, bool) or not isinstance(value, int | float):
        return None
    try:
        found = float(value)
    except OverflowError:
        return None
    if not math.isfinite(found) or abs(found) > _LARGEST:
        return None
    return found if abs(found) >= _SMALLEST else 0.0


def whole(value: object) -> int | None:
    """A whole number; None for anything else."""
    found = number(value)
    return int(found) if found is not None and found == int(found) else None


def text(value: object, most: int = _LONGEST) -> str:
    """Something as text of `most` characters at most, an ellipsis where it was cut; empty for null."""
    if value is None:
        return ""
    if isinstance(value, bool):
        return "yes" if value else "no"
    if isinstance(value, float):
        return f"{value:.6g}"
    if isinstance(value, int):
        try:
            value = str(value)
        except ValueError:  # more digits than Python writes
            return "a huge number"
    if isinstance(value, dict | list):
        value = "; ".join(f"{key}: {said}" if key else said for key, said in flat(value))
    shown = str(value)
    return shown if len(shown) <= most else f"{shown[: most - 1]}…"


def mapping(value: object) -> dict[str, Any]:
    """An object; empty for anything else."""
    return value if isinstance(value, dict) else {}


def sequence(value: object) -> list[Any]:
    """A list; empty for anything else."""
    return value if isinstance(value, list) else []


def flat(value: object, most: int = 60) -> list[tuple[str, str]]:
    """The leaves of a nested value as (dotted name, text); of many the first `most`."""
    found: list[tuple[str, str]] = []
    waiting: list[tuple[str, object]] = [("", value)]
    while waiting and len(found) < most:
        name, here = waiting.pop(0)
        if isinstance(here, dict):
            prefix = f"{name}." if name else ""
            waiting[:0] = [(f"{prefix}{text(key, 80)}", each) for key, each in here.items()]
        elif isinstance(here, list) and any(isinstance(each, dict | list) for each in here):
            waiting[:0] = [(name, each) for each in here]
        elif isinstance(here, list):
            found.append((name, ", ".join(text(each, 80) for each in here[:most])))
        elif here is not None:
            found.append((name, text(here)))
    return found


def said_number(value: float | None, form: str = "{:.3f}") -> str:
    """A number as it is shown; a dash where there is none."""
    return "–" if value is None else form.format(value)


def said_time(seconds: float | None) -> str:
    """A length of time in its two largest units."""
    if seconds is None:
        return "–"
    if seconds < 60:
        return f"{seconds:.3g} s"
    if seconds < 3600:
        minutes, rest = divmod(round(seconds), 60)
        return f"{minutes} min {rest:02d} s"
    hours, minutes = divmod(round(seconds / 60), 60)
    return f"{hours:,} h {minutes:02d} min"


def said_bytes(count: float | None) -> str:
    """A size in decimal units."""
    if count is None:
        return "–"
    for unit, size in (("GB", 1e9), ("MB", 1e6), ("kB", 1e3)):
        if count >= size:
            return f"{count / size:,.1f} {unit}"
    return f"{count:,.0f} bytes"


def said_interval(low: float | None, high: float | None, form: str = "{:.3f}") -> str:
    """An interval; a dash where there is none."""
    if low is None or high is None:
        return "–"
    return f"{form.format(low)} – {form.format(high)}"
