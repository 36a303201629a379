"""What a value of a row is: empty, a list of turns, JSON in a cell of a table; and how a reason calls it."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, cast

from lexitrain.records.opening.json_text import RepeatedKey, loads

Row = Mapping[str, Any]

_NAMED = 8  # keys that a reason names


def is_empty(value: object) -> bool:
    """Whether a field says nothing: null, blank text, an empty list or object, and JSON text of one of these."""
    if isinstance(value, str):
        return value.strip() in ("", "[]", "{}", "null")
    return value is None or (isinstance(value, list | dict) and not value)


def decoded(value: Any, *kinds: type) -> Any:
    """A cell of a table that holds one of `kinds` (list, dict) as JSON text, decoded; anything else as it is.

    Raises:
        RepeatedKey: an object in the JSON names a key twice.
        RecursionError: it is nested too deeply.
    """
    if isinstance(value, str) and value.lstrip()[:1] in ("{", "["):
        try:
            found = loads(value)
        except RepeatedKey:
            raise
        except ValueError:
            return value
        return found if isinstance(found, kinds) else value
    return value


def is_turn(value: object) -> bool:
    """Whether an object is a turn, by its keys."""
    return isinstance(value, Mapping) and (
        ("role" in value and "content" in value) or ("from" in value and "value" in value)
    )


def as_turns(value: object) -> list[object] | None:
    """The turns that a value is: a list of them, one alone, or either as JSON text; None for anything else."""
    value = decoded(value, list, dict)
    if is_turn(value):
        return [value]
    if isinstance(value, list) and value:
        listed = cast("list[object]", value)
        return listed if all(map(is_turn, listed)) else None
    return None


def kind(value: object) -> str:
    """What a value is, as a reason calls it."""
    if value is None:
        return "null"
    if isinstance(value, Mapping):
        return "an object"
    names = {
        "bool": "true or false",
        "int": "a number",
        "float": "a number",
        "str": "text",
        "list": "a list",
    }
    return names.get(type(value).__name__, type(value).__name__)


def named_keys(row: Row) -> str:
    """The keys that a row has, for a reason: `a`, `b`."""
    if not row:
        return "nothing"
    keys = [f"`{str(key)[:40]}`" for key in row]
    more = f" and {len(keys) - _NAMED} more" if len(keys) > _NAMED else ""
    return ", ".join(keys[:_NAMED]) + more
