"""A JSON Schema of a client's as a grammar for llama.cpp, or a refusal.

llama.cpp makes grammars of schemas too, but leaves out what it does not know (bounds of numbers) and then answers
without a word. Here the keywords are those of the tasks' schemas; any other one is refused by its name. Every answer
under the grammar satisfies the schema: it has all keys in their order, and no others.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, cast

from lexitrain.errors import TaskError
from lexitrain.evaluation.generation.gbnf import grammar_text
from lexitrain.tasks import schema_problem

_KEYWORDS = {
    "object": {"properties", "required", "additionalProperties"},
    "array": {"items"},
    "string": {"enum", "minLength"},
    "number": {"minimum", "maximum"},
}
_NOTES = {"type", "title", "description", "$schema", "$id", "$comment", "examples", "default"}
"""Keywords that do not change which answers satisfy a schema."""
_MOST_PARTS = 100
_DEEPEST = 16
_MOST_ENUM_CHARACTERS = 20_000
_ANSWER_TOKENS = 480
_MOST_LEAST = 900  # characters that a text may be asked to have


def asked_gbnf(schema: object) -> str:
    """The grammar of the answers to a client's schema.

    Raises:
        TaskError: it says what cannot be held to here, or is too large.
    """
    _Reader().check(schema, "schema", 0)
    if reason := schema_problem(schema):
        raise TaskError(f"{reason}.")
    return grammar_text({"root": cast("Mapping[str, Any]", schema)}, most_tokens=_ANSWER_TOKENS)


class _Reader:
    """Attributes: parts, letters: that were met so far."""

    def __init__(self) -> None:
        self.parts = 0
        self.letters = 0

    def check(self, schema: object, where: str, depth: int) -> None:
        self.parts += 1
        if self.parts > _MOST_PARTS or depth > _DEEPEST:
            raise TaskError(
                f"A schema has {_MOST_PARTS} parts at most, {_DEEPEST} of them within each other."
            )
        if not isinstance(schema, dict):
            raise TaskError(f"{where} is no object.")
        known = cast("dict[str, Any]", schema)
        kind: object = known.get("type")
        if not isinstance(kind, str) or kind not in _KEYWORDS:
            raise TaskError(f"{where}.type is none of {', '.join(_KEYWORDS)}.")
        for name in known:
            if name not in _KEYWORDS[kind] and name not in _NOTES:
                raise TaskError(f"{where} has {name[:80]!a}, which is not understood here.")
        self._check_parts(known, kind, where, depth)

    def _check_parts(self, schema: dict[str, Any], kind: str, where: str, depth: int) -> None:
        if kind == "array":
            self.check(schema.get("items"), f"{where}.items", depth + 1)
        elif kind == "object":
            self._check_object(schema, where)
            for key, inner in schema["properties"].items():
                self._count(str(key))
                self.check(inner, f"{where}.properties.{key[:40]!a}", depth + 1)
        elif kind == "string":
            least: object = schema.get("minLength", 0)
            if isinstance(least, int | float) and least > _MOST_LEAST:
                raise TaskError(f"{where}.minLength is {_MOST_LEAST} at most.")
            for each in schema["enum"] if isinstance(schema.get("enum"), list) else ():
                self._count(str(each))

    def _check_object(self, schema: dict[str, Any], where: str) -> None:
        properties: object = schema.get("properties")
        if not isinstance(properties, dict) or not properties:
            raise TaskError(f"{where}.properties names no keys.")
        required: object = schema.get("required", [])
        known = cast("dict[str, Any]", properties)
        if not isinstance(required, list) or any(
            not isinstance(each, str) or each not in known
            for each in cast("list[object]", required)
        ):
            raise TaskError(f"{where}.required is no list of keys that properties describe.")
        if not isinstance(schema.get("additionalProperties", False), bool):
            raise TaskError(f"{where}.additionalProperties is true or false.")

    def _count(self, text: str) -> None:
        self.letters += len(text)
        if self.letters > _MOST_ENUM_CHARACTERS:
            raise TaskError(
                f"Keys and choices of a schema have {_MOST_ENUM_CHARACTERS:,} characters at most."
            )
