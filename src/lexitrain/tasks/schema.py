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
from collections.abc import Mapping
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
    inner: dict[str, object] = {}
    if kind == "array":
        inner = {"items": known.get("items")}
    elif kind == "object":
        properties: object = known.get("properties")
        if not isinstance(properties, Mapping) or not properties:
            return f"{where}.properties names no keys"
        parts = cast("Mapping[str, object]", properties)
        inner = {f"properties.{key}": part for key, part in parts.items()}
    problems = (schema_problem(part, f"{where}.{name}") for name, part in inner.items())
    return next((reason for reason in problems if reason), None)


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


def loads_strict(text: str) -> object:
    """JSON from `text`; NaN and Infinity, which Python accepts and JSON does not, are refused.

    Raises:
        ValueError: the text is no JSON.
    """
    try:
        return json.loads(text, parse_constant=_refuse_constant)
    except RecursionError as error:
        raise ValueError("nested too deeply") from error


def _refuse_constant(name: str) -> object:
    raise ValueError(f"{name} is no JSON")
