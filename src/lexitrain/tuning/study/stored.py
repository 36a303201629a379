"""What a database holds about a trial, read back. Another program, or another hand, may have written it."""

from __future__ import annotations

import json
import math
from collections.abc import Generator, Mapping
from contextlib import contextmanager
from typing import Any

from lexitrain.errors import RunError
from lexitrain.tuning.designs.unit import Outcome, Unit

_TEXTS = frozenset({"state", "reason", "samples"})


def stored_unit(key: Any) -> Unit:
    """The unit of a key. Raises ValueError or TypeError where it is none."""
    unit = Unit(**json.loads(key))
    if not isinstance(unit.changes, dict) or not 0 < unit.share <= 1 or type(unit.seed) is not int:
        raise ValueError("a unit that is none")
    return unit


def stored_outcome(unit: Unit, run: str, content: Mapping[str, Any]) -> Outcome:
    """The outcome that was written of a unit. Raises ValueError or TypeError where it is none."""
    for name, value in content.items():
        fits = isinstance(value, str) if name in _TEXTS else _is_number(value)
        if value is not None and not fits:
            raise ValueError(f"{name} is {value!r}")
    if content["state"] not in {"finished", "failed"}:
        raise ValueError(f"state is {content['state']!r}")
    return Outcome(unit, run, **content)


@contextmanager
def told_of_the_study(name: str, shown: str) -> Generator[None]:
    """Turn what cannot be read into an error that names the study.

    Args:
        name: of the study.
        shown: the database's address, without a password.

    Raises:
        RunError: what the block reads is not what `tune` writes.
    """
    try:
        yield
    except (ValueError, TypeError, KeyError, AttributeError, RecursionError) as error:
        raise RunError(
            f"The study {name!r} holds what lexitrain did not write: {error}.",
            where=shown,
            fix="Bring the database back from a copy, or begin a new study: another --study and another --out.",
        ) from None


def _is_number(value: Any) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool) and math.isfinite(value)
