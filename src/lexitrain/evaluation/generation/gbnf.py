r"""A task's schema as a grammar for llama.cpp (GBNF): what a phone is given, so that it can only answer valid JSON.

The answers are those of `answer_grammar.py`: one line of JSON, keys in the schema's order, numbers between their
bounds. But here texts and lists have an end, as nobody watches over a phone: a text has as many characters as the
task's answers have tokens, twice, and a list sixteen items. An answer that babbles is cut there and closed.

llama.cpp does not notice a character beyond ASCII that is written in more bytes than UTF-8 allows, which a model does
that knows nothing: read as UTF-8 it becomes U+FFFD, in a text or in place of a choice beyond ASCII.
"""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from math import inf
from typing import Any

from lexitrain.errors import TaskError
from lexitrain.evaluation.generation.number_patterns import number_pattern
from lexitrain.tasks import Schema, Task

_ITEMS = 16
_SPACES_BEFORE = 4
_MOST_REPEATED = 1000
"""llama.cpp refuses to repeat a rule some 2,000 times, or takes it for without end: longer texts are put together."""
_LONGEST = 100_000  # characters of a text
_UNWRITTEN = r"\x00-\x1f\uD800-\uDFFF\U00110000-\U003FFFFF"
"""Not in a text as they are: controls, halves of surrogates, what is no Unicode (llama.cpp reads four bits of a byte
that begins a character of four bytes, so up to 3FFFFF)."""
_WIDE = r"\x85\u00A0\u1680\u2000-\u200A\u2028\u2029\u202F\u205F\u3000"
_RULES = {
    "char": rf'[^"\\{_UNWRITTEN}] | [\\] (["\\bfnrt] | "u00" [0-1] [0-9a-f])',
    "space": rf"[ {_WIDE}]",
    "letter": rf'[^ "\\{_UNWRITTEN}{_WIDE}] | [\\] ["\\]',
}
"""`letter`: a character that Python's `str.strip` leaves; a text of some length begins with one, or with few spaces."""
_PIECE = re.compile(r"\\(.)|(\[[^\]]*\])|(\{[0-9,]+\}|[()|?*+])|(.)")


def answer_gbnf(task: Task) -> str:
    """The grammar of a task's answers, as llama.cpp reads it.

    Raises:
        TaskError: no answer can satisfy the schema.
    """
    return grammar_text({"root": task.schema}, {"root": task})


def chosen_gbnf(tasks: Mapping[str, Task]) -> str:
    """A grammar whose text is an answer to one of these tasks; the first key tells which.

    Raises:
        TaskError: as `answer_gbnf`.
    """
    names: dict[str, Task] = {}
    for name, task in tasks.items():
        rule = f"answer-{_rule_name(name)}"
        while rule in names:
            rule += "-x"
        names[rule] = task
    return grammar_text({name: task.schema for name, task in names.items()}, names)


def grammar_text(
    schemas: Mapping[str, Schema],
    tasks: Mapping[str, Task] | None = None,
    *,
    most_tokens: int = 0,
) -> str:
    """The grammar whose rules of these names are the schemas; `root` is any of them.

    Args:
        schemas: rule -> schema.
        tasks: rule -> the task that it is of; None: they are of none.
        most_tokens: of an answer that is of no task.

    Raises:
        TaskError: no answer can satisfy a schema.
    """
    builder = _Builder(rules=dict.fromkeys(schemas, ""))  # their names are taken
    for name, schema in schemas.items():
        task = None if tasks is None else tasks[name]
        builder.most_characters = 2 * (most_tokens if task is None else task.maximum_answer_tokens)
        builder.task = "" if task is None else f" to the task {task.short}"
        builder.rules[name] = builder.expression(schema, name)
    if "root" not in schemas:
        builder.rules["root"] = " | ".join(schemas)
    ordered = {"root": builder.rules.pop("root"), **builder.rules, **_RULES}
    return "".join(f"{name} ::= {rule}\n" for name, rule in ordered.items())


@dataclass(slots=True)
class _Builder:
    most_characters: int = 0
    task: str = ""
    rules: dict[str, str] = field(default_factory=dict[str, str])

    def expression(self, schema: Schema, name: str) -> str:
        kind = schema["type"]
        if kind == "object":
            return self._object(schema, name)
        if kind == "array":
            item = self._rule(f"{name}-item", schema["items"])
            return f'"[" ({item} ("," {item}){{0,{_ITEMS - 1}}})? "]"'
        return self._text(schema, name) if kind == "string" else self._number(schema, name)

    def _object(self, schema: Schema, name: str) -> str:
        parts: list[str] = []
        for number, (key, inner) in enumerate(schema["properties"].items()):
            before = "{" if number == 0 else ","
            parts.append(_literal(f"{before}{json.dumps(key, ensure_ascii=False)}:"))
            parts.append(self._rule(f"{name}-{_rule_name(key)}", inner))
        return " ".join([*parts, _literal("}")])

    def _rule(self, name: str, schema: Schema) -> str:
        while name in self.rules:
            name += "-x"
        self.rules[name] = ""  # its place, before those of its parts
        self.rules[name] = self.expression(schema, name)
        return name

    def _text(self, schema: Schema, name: str) -> str:
        least = int(schema.get("minLength", 0))
        choices = schema.get("enum")
        if choices is not None:
            allowed = [choice for choice in choices if len(choice.strip()) >= least]
            if not allowed:
                raise self._impossible(f"no choice of {name} is long enough")
            return " | ".join(_literal(json.dumps(each, ensure_ascii=False)) for each in allowed)
        most = max(self.most_characters, least)
        if most > _LONGEST:
            raise TaskError(
                f"A text of {most:,} characters is longer than a grammar of llama.cpp's can hold.",
                where=name,
                fix=f"Let `minLength` and twice `maximum_answer_tokens` be at most {_LONGEST:,}.",
            )
        if least == 0:
            return f'"\\"" {self._characters(0, most)} "\\""'
        start = f'"\\"" space{{0,{_SPACES_BEFORE}}} letter'
        if least == 1:
            return f'{start} {self._characters(0, most - 1)} "\\""'
        return f'{start} {self._characters(least - 2, most - 2)} letter "\\""'

    def _characters(self, least: int, most: int) -> str:
        """A rule of from `least` to `most` characters: thousands and a rest, so that a text is read in one way."""
        name = f"characters-{least}-{most}"
        if most >= _MOST_REPEATED:
            self.rules["thousand"] = f"char{{{_MOST_REPEATED}}}"
        ways: list[str] = []
        for thousands in range(least // _MOST_REPEATED, most // _MOST_REPEATED + 1):
            before = thousands * _MOST_REPEATED
            low, high = max(0, least - before), min(most - before, _MOST_REPEATED - 1)
            ways.append(" ".join(["thousand"] * thousands + [f"char{{{low},{high}}}"]))
        self.rules[name] = " | ".join(ways)
        return name

    def _number(self, schema: Schema, name: str) -> str:
        pattern = number_pattern(schema.get("minimum", -inf), schema.get("maximum", inf))
        if pattern is None:
            raise self._impossible(f"no number lies between the bounds of {name}")
        return " ".join(_of_pattern(piece) for piece in _PIECE.finditer(pattern))

    def _impossible(self, reason: str) -> TaskError:
        return TaskError(
            f"No answer{self.task} can satisfy its schema: {reason}.", fix="Mend the `schema`."
        )


def _of_pattern(piece: re.Match[str]) -> str:
    """A piece of a regular expression of numbers, which GBNF writes alike but for literals."""
    escaped, characters, operator, letter = piece.groups()
    return characters or operator or _literal(escaped or letter)


def _literal(text: str) -> str:
    escaped = "".join(
        f"\\{letter}" if letter in '"\\' else letter if letter.isprintable() else _code(letter)
        for letter in text
    )
    return f'"{escaped}"'


def _code(letter: str) -> str:
    code = ord(letter)
    return (
        f"\\x{code:02x}"
        if code < 0x100
        else f"\\u{code:04x}"
        if code < 0x10000
        else f"\\U{code:08x}"
    )


def _rule_name(text: str) -> str:
    """The text as GBNF allows rules to be called."""
    return re.sub(r"[^a-zA-Z0-9]+", "-", text).strip("-") or "x"


def schema_of(task: Task, *, bounded: bool = True) -> dict[str, Any]:
    """The task's schema as other programs read it: all keys required, no others allowed.

    Args:
        bounded: whether texts and lists have the same ends as in the grammar.
    """
    return _closed(task.schema, 2 * task.maximum_answer_tokens if bounded else None)


def _closed(schema: Schema, most: int | None) -> dict[str, Any]:
    found = {key: value for key, value in schema.items() if key != "default"}
    if schema["type"] == "object":
        properties: Mapping[str, Schema] = schema["properties"]
        found["properties"] = {key: _closed(inner, most) for key, inner in properties.items()}
        found |= {"required": list(properties), "additionalProperties": False}
    elif schema["type"] == "array":
        found["items"] = _closed(schema["items"], most)
        if most is not None:
            found["maxItems"] = _ITEMS
    elif schema["type"] == "string" and "enum" not in schema and most is not None:
        least = int(schema.get("minLength", 0))
        found["maxLength"] = max(most, least) + (_SPACES_BEFORE if least else 0)
    return found
