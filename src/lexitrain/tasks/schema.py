"""The part of JSON Schema that task answers are described with.

One declaration a task gives the order of keys in a training answer, the check of a record and of a model's answer, and
what a grammar for constrained decoding needs. Understood: `type` (object, array, string, number), `properties` (all
of them required), `items`, `enum`, `minimum`, `maximum`, `minLength`, and `default`, which a record may lean on and
a model's answer may not.
"""

from __future__ import annotations

import json
import math
import sys
from collections.abc import Collection, Mapping
from typing import Any, cast

Schema = Mapping[str, Any]


def problem(value: object, schema: Schema, where: str = "answer") -> str | None:
    """Why `value` does not satisfy `schema`, or None when it does.

    Args:
        where: how the message calls the value, such as `answer.errors[0].span`.
    """
    kind = schema["type"]
    if kind == "object":
        return _object_problem(value, schema, where)
    if kind == "array":
        return _array_problem(value, schema, where)
    if kind == "string":
        return _string_problem(value, schema, where)
    return _number_problem(value, schema, where)


def _object_problem(value: object, schema: Schema, where: str) -> str | None:
    if not isinstance(value, dict):
        return f"{where} is {_kind(value)}, not an object"
    value = cast("dict[str, Any]", value)
    properties: Mapping[str, Schema] = schema["properties"]
    for key in properties:
        if key not in value:
            return f"{where} lacks {key!r}"
    for key in value:
        if key not in properties:
            return f"{where} has the unknown key {key!r}"
    for key, inner in properties.items():
        if reason := problem(value[key], inner, f"{where}.{key}"):
            return reason
    return None


def _array_problem(value: object, schema: Schema, where: str) -> str | None:
    if not isinstance(value, list):
        return f"{where} is {_kind(value)}, not a list"
    for index, item in enumerate(cast("list[object]", value)):
        if reason := problem(item, schema["items"], f"{where}[{index}]"):
            return reason
    return None


def _string_problem(value: object, schema: Schema, where: str) -> str | None:
    if not isinstance(value, str):
        return f"{where} is {_kind(value)}, not a text"
    if not _is_unicode(value):
        return f"{where} holds half a character (a lone surrogate)"
    if len(value.strip()) < schema.get("minLength", 0):
        return f"{where} is empty"
    choices = schema.get("enum")
    if choices is not None and value not in choices:
        return f"{where} is {value!r}, not one of {', '.join(choices)}"
    return None


def _number_problem(value: object, schema: Schema, where: str) -> str | None:
    if isinstance(value, bool) or not isinstance(value, int | float):
        return f"{where} is {_kind(value)}, not a number"
    low, high = schema.get("minimum", -math.inf), schema.get("maximum", math.inf)
    if not (abs(value) <= sys.float_info.max and low <= value <= high):  # NaN fails the first
        huge = isinstance(value, int) and abs(value) > sys.float_info.max
        return f"{where} is {'huge' if huge else value}, not between {low} and {high}"
    return None


def _kind(value: object) -> str:
    if value is None:
        return "null"
    names = {"bool": "true or false", "str": "a text", "list": "a list", "dict": "an object"}
    return names.get(type(value).__name__, "a number")


_KINDS = ("object", "array", "string", "number")


def schema_problem(schema: object, where: str = "schema") -> str | None:
    """Why `schema` is none that is understood here, or None."""
    empty: Mapping[str, Any] = {}
    known = cast("Mapping[str, Any]", schema) if isinstance(schema, Mapping) else empty
    kind = known.get("type")
    if kind not in _KINDS:
        return f"{where}.type is {kind!r}, not one of {', '.join(_KINDS)}"
    if reason := _limits_problem(known, str(kind), where):
        return reason
    inner: dict[str, object] = {}
    if kind == "array":
        inner = {"items": known.get("items")}
    elif kind == "object":
        properties: object = known.get("properties")
        if not isinstance(properties, Mapping) or not properties:
            return f"{where}.properties names no keys"
        parts = cast("Mapping[str, object]", properties)
        for key in cast("Mapping[object, object]", properties):
            if not isinstance(key, str) or not _is_unicode(key):
                return f"{where}.properties has the key {key!r}, which is no text"
        inner = {f"properties.{key}": part for key, part in parts.items()}
    problems = (schema_problem(part, f"{where}.{name}") for name, part in inner.items())
    return next((reason for reason in problems if reason), None)


def _limits_problem(schema: Mapping[str, Any], kind: str, where: str) -> str | None:
    """What is wrong with the limits that a schema sets to texts or numbers, such as that nothing keeps to them."""
    if kind == "number":
        return _bounds_problem(schema, where)
    if kind != "string":
        return None
    least = schema.get("minLength", 0)
    if not _is_number(least) or least < 0 or least % 1:
        return f"{where}.minLength is {least!r}, not a number of characters"
    choices: object = schema.get("enum")
    return None if choices is None else _choices_problem(choices, least, where)


def _choices_problem(choices: object, least: float, where: str) -> str | None:
    listed = isinstance(choices, Collection) and not isinstance(choices, str | Mapping)
    texts = list(cast("Collection[object]", choices)) if listed else []
    if not texts:
        return f"{where}.enum is {choices!r}, not a list of texts"
    for choice in texts:
        if not isinstance(choice, str) or not _is_unicode(choice):
            return f"{where}.enum holds {choice!r}, which is no text"
    if all(len(str(choice).strip()) < least for choice in texts):
        return f"{where}.enum holds nothing that is as long as its minLength"
    return None


def _bounds_problem(schema: Mapping[str, Any], where: str) -> str | None:
    for name in ("minimum", "maximum"):
        bound = schema.get(name, 0)
        if not _is_number(bound):
            return f"{where}.{name} is {bound!r}, not a number"
    low, high = schema.get("minimum", -math.inf), schema.get("maximum", math.inf)
    return f"{where}.minimum is {low}, above its maximum {high}" if low > high else None


def _is_number(value: Any) -> bool:
    known = isinstance(value, int | float) and not isinstance(value, bool)
    return known and (isinstance(value, int) or not math.isnan(value))


def _is_unicode(text: str) -> bool:
    """Whether a text can be written: half of a surrogate pair cannot."""
    try:
        text.encode()
    except UnicodeEncodeError:
        return False
    return True


def project(value: object, schema: Schema) -> object:
    """`value` with keys in schema order, unknown keys dropped, defaults filled in, numbers as floats.

    What does not fit the schema is left as it is: `problem` names it.
    """
    if schema["type"] == "object" and isinstance(value, dict):
        value = cast("dict[str, Any]", value)
        projected: dict[str, object] = {}
        for key, inner in schema["properties"].items():
            if key in value:
                projected[key] = project(value[key], inner)
            elif "default" in inner:
                projected[key] = inner["default"]
        return projected
    if schema["type"] == "array" and isinstance(value, list):
        return [project(item, schema["items"]) for item in cast("list[object]", value)]
    if schema["type"] == "number" and isinstance(value, int) and not isinstance(value, bool):
        return float(value) if abs(value) <= sys.float_info.max else value
    return value


def unknown_keys(value: object, schema: Schema) -> frozenset[str]:
    """Keys in `value` that `project` drops, such as `note` or, inside a list, `errors[].offset`."""
    if isinstance(value, dict):
        properties: Mapping[str, Schema] = schema.get("properties", {})
        found: set[str] = set()
        for key, inner in cast("dict[str, Any]", value).items():
            if key not in properties:
                found.add(key)
            elif isinstance(inner, list):
                items: Schema = properties[key].get("items", {})
                for item in cast("list[object]", inner):
                    found |= {f"{key}[].{name}" for name in unknown_keys(item, items)}
            elif isinstance(inner, dict):
                found |= {
                    f"{key}.{name}" for name in unknown_keys(cast("object", inner), properties[key])
                }
        return frozenset(found)
    return _NONE


_NONE: frozenset[str] = frozenset()
_MOST_DIGITS = 1000  # far more than a float has room for


def loads_strict(text: str) -> object:
    """JSON from `text`; NaN and Infinity, which Python accepts and JSON does not, are refused, and so is a key that
    stands twice in an object, as nobody can say which of the two is meant.

    Raises:
        ValueError: the text is no JSON.
    """
    try:
        return json.loads(
            text,
            parse_constant=_refuse_constant,
            parse_int=_integer,
            object_pairs_hook=_object,
        )
    except RecursionError as error:
        raise ValueError("nested too deeply") from error


def _integer(digits: str) -> int | float:
    """The number; Python reads no integer of more than some thousand digits, and no schema allows one: infinite."""
    if len(digits) < _MOST_DIGITS:
        return int(digits)
    return -math.inf if digits.startswith("-") else math.inf


def _object(pairs: list[tuple[str, object]]) -> dict[str, object]:
    found = dict(pairs)
    if len(found) < len(pairs):
        seen: set[str] = set()
        twice = next(key for key, _ in pairs if key in seen or seen.add(key))
        raise ValueError(f"the key {twice[:80]!r} stands twice")
    return found


def _refuse_constant(name: str) -> object:
    raise ValueError(f"{name} is no JSON")
