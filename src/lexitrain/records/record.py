"""Records: one example of a task as a typed value.

A record is `{task, input, output, metadata}`, or `{task, messages, metadata}` where the conversation itself is the
data. Everything later (cleaning, splitting, rendering, scoring) works on this one type, whatever form the row that it
was read from had (`rows.py` knows the forms).
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

ROLES = ("system", "user", "assistant")

# One encoder for all lines: `json.dumps` with options builds a new one at every call.
_ENCODER = json.JSONEncoder(ensure_ascii=False, separators=(", ", ": "))


to_json = _ENCODER.encode
"""A value as JSON on one line, characters as they are."""


def is_learnt(turn: Mapping[str, Any]) -> bool:
    """Whether a turn of a conversation is supervised: an answer, unless it has weight 0."""
    return turn["role"] == "assistant" and turn.get("weight") != 0


class BadRow(ValueError):
    """A row that is no record; the message is the reason, without the place."""


@dataclass(frozen=True, slots=True)
class Record:
    """One example of a task.

    Attributes:
        task: short name of the task (`fluency`, `vocabulary`, `grammar`, `dialogue`, `explanation`, or a custom one).
        input: the learner's text. For a conversation: its user turns, one a line.
        output: the answer's fields, or plain text; None only when `messages` is given.
        metadata: everything else that is known about the record.
        messages: a conversation as `{"role", "content"}` turns; every assistant turn is supervised but those with
            `"weight": 0`, which are context.
    """

    task: str
    input: str
    output: dict[str, Any] | str | None
    metadata: dict[str, Any]
    messages: tuple[dict[str, Any], ...] | None = None

    def to_json(self) -> str:
        """The record as one line of JSON: stable key order, no line end, characters as they are."""
        fields: dict[str, Any] = {"task": self.task, "input": self.input}
        if self.messages is None:
            fields["output"] = self.output
        else:
            fields["messages"] = self.messages
        fields["metadata"] = self.metadata
        return to_json(fields)


@dataclass(frozen=True, slots=True)
class BadRecord:
    """A record that could not be read: where it stands and why.

    Attributes:
        line: of the file (of a table without lines, the row); of an array with several elements on one line, as text
            that names the element too: `1, element 57`.
    """

    file: str
    line: int | str
    reason: str

    @property
    def place(self) -> str:
        """`file:line`."""
        return f"{self.file}:{self.line}"

    def __str__(self) -> str:
        return f"{self.place}: {self.reason}"
