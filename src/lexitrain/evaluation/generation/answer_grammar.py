r"""A task's schema as a grammar of exactly the answers that may be written under it.

The answers are those of training: one line of JSON without spaces, keys in the schema's order, characters as they are
instead of `\u`. So no answer holds half a surrogate, and every finished one satisfies `lexitrain.tasks.Task.parse`.
Texts and lists may be of any length: a bound would end a text in the middle and call it an answer; what babbles runs
into the limit of tokens and is told as such.
"""

from __future__ import annotations

import json
from dataclasses import dataclass, field
from math import inf

from lexitrain.errors import TaskError
from lexitrain.evaluation.generation.number_patterns import number_pattern
from lexitrain.tasks import Schema

# What `json.dumps` writes: two letters where there are such, else four digits. A character that Python's `str.strip`
# takes for a space does not count in a text's length.
_SPACES = (
    *"\x1c\x1d\x1e\x1f \x85\xa0\u1680",
    *map(chr, range(0x2000, 0x200B)),
    *"\u2028\u2029\u202f\u205f\u3000",
)
_CONTROLS = [code for code in range(0x20) if chr(code) not in "\b\t\n\f\r"]


def _u(codes: list[int]) -> str:
    return rf"\\u00({'|'.join(f'{code:02x}' for code in codes)})"


_SPACE_CODES = [code for code in _CONTROLS if chr(code).isspace() or code == 0x0B]
_OTHER_CODES = [code for code in _CONTROLS if code not in _SPACE_CODES]
_RAW_SPACES = "".join(f"\\x{{{ord(space):x}}}" for space in _SPACES if ord(space) >= 0x20)
_SPACE = rf"([{_RAW_SPACES}]|\\[tnfr]|{_u(_SPACE_CODES)})"
_LETTER = rf'([^"\\\x00-\x1f{_RAW_SPACES}]|\\["\\b]|{_u(_OTHER_CODES)})'
_CHARACTER = rf'([^"\\\x00-\x1f]|\\["\\bfnrt]|{_u(_CONTROLS)})'


@dataclass(frozen=True, slots=True)
class AnswerGrammar:
    """Attributes:
    lark: the grammar as llguidance reads it.
    written: characters without which an answer cannot be written.
    """

    lark: str
    written: frozenset[str]


def answer_grammar(schema: Schema, task: str, *, space_before: bool = False) -> AnswerGrammar:
    """The grammar of a task's answers.

    Args:
        schema: one that `schema_problem` has nothing against.
        task: how errors name it.
        space_before: whether a space may stand before the answer: SentencePiece may write one that is not decoded.

    Raises:
        TaskError: no answer can satisfy the schema.
    """
    builder = _Builder(task)
    builder.rules[0] = builder.expression(schema, "schema")
    if space_before:
        builder.rules[0] = f"/ /? {builder.rules[0]}"
    rules = {
        "start" if number == 0 else f"r{number}": rule for number, rule in builder.rules.items()
    }
    lark = "\n".join(f"{name}: {rule}" for name, rule in rules.items())
    return AnswerGrammar(lark, frozenset(builder.written))


@dataclass(slots=True)
class _Builder:
    task: str
    rules: dict[int, str] = field(default_factory=lambda: {0: ""})
    written: set[str] = field(default_factory=set[str])

    def expression(self, schema: Schema, where: str) -> str:
        kind = schema["type"]
        if kind == "object":
            return self._object(schema, where)
        if kind == "array":
            item = self._rule(self.expression(schema["items"], f"{where}.items"))
            start, comma, end = (self._literal(mark) for mark in "[,]")
            return f"{start} ({item} ({comma} {item})*)? {end}"
        return f"/{self._text(schema) if kind == 'string' else self._number(schema, where)}/"

    def _object(self, schema: Schema, where: str) -> str:
        parts: list[str] = []
        for number, (key, inner) in enumerate(schema["properties"].items()):
            before = "{" if number == 0 else ","
            parts.append(self._literal(f"{before}{json.dumps(key, ensure_ascii=False)}:"))
            parts.append(self._rule(self.expression(inner, f"{where}.properties.{key}")))
        return " ".join([*parts, self._literal("}")])

    def _rule(self, expression: str) -> str:
        number = len(self.rules)
        self.rules[number] = expression
        return f"r{number}"

    def _literal(self, text: str) -> str:
        return f"/{self._written(text)}/"

    def _written(self, text: str) -> str:
        self.written.update(text)
        return "".join(
            letter if letter.isascii() and letter.isalnum() else f"\\x{{{ord(letter):x}}}"
            for letter in text
        )

    def _text(self, schema: Schema) -> str:
        least = int(schema.get("minLength", 0))
        choices = schema.get("enum")
        if choices is not None:
            allowed = [choice for choice in choices if len(choice.strip()) >= least]
            return "|".join(
                self._written(json.dumps(choice, ensure_ascii=False)) for choice in allowed
            )
        self.written.update('"a')
        if least == 0:
            return f'"{_CHARACTER}*"'
        if least == 1:
            return f'"{_SPACE}*{_LETTER}{_CHARACTER}*"'
        # From the first letter on, `least` characters, of which the last is one that counts, too.
        return f'"{_SPACE}*{_LETTER}{_CHARACTER}{{{least - 2}}}{_SPACE}*{_LETTER}{_CHARACTER}*"'

    def _number(self, schema: Schema, where: str) -> str:
        low, high = schema.get("minimum", -inf), schema.get("maximum", inf)
        pattern = number_pattern(low, high)
        if pattern is None:
            raise self._impossible(f"no number lies between {where}.minimum and its maximum")
        self.written.update(".0123456789")
        return pattern

    def _impossible(self, reason: str) -> TaskError:
        return TaskError(
            f"No answer to the task {self.task} can satisfy its schema: {reason}.",
            where="--json-schema",
            fix="Mend the task's `schema`.",
        )
