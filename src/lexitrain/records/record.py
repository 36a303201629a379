"""Records: one raw line of data as a typed value.

A record is `{task, input, output, metadata}`, or `{task, messages, metadata}` where the conversation itself is the
data. Everything later (cleaning, splitting, rendering, scoring) works on this one type, whatever form the line
had. Reading costs one JSON parse a line; nothing is kept but what the caller keeps.
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any, cast

from lexitrain.errors import InputError

ROLES = ("system", "user", "assistant")

# One encoder for all lines: `json.dumps` with options builds a new one at every call.
_ENCODER = json.JSONEncoder(ensure_ascii=False, separators=(", ", ": "))


@dataclass(frozen=True, slots=True)
class Record:
    """One example of a task.

    Attributes:
        task: short name of the task (`fluency`, `vocabulary`, `grammar`, `dialogue`, `explanation`, or a custom one).
        input: the learner's text. For a conversation: its user turns, one a line.
        output: the answer's fields, or plain text; None only when `messages` is given.
        metadata: everything else that is known about the record.
        messages: a conversation as `{"role", "content"}` turns; every assistant turn is supervised.
    """

    task: str
    input: str
    output: dict[str, Any] | str | None
    metadata: dict[str, Any]
    messages: tuple[dict[str, str], ...] | None = None

    def to_json(self) -> str:
        """The record as one line of JSON: stable key order, no line end, characters as they are."""
        fields: dict[str, Any] = {"task": self.task, "input": self.input}
        if self.messages is None:
            fields["output"] = self.output
        else:
            fields["messages"] = self.messages
        fields["metadata"] = self.metadata
        return _ENCODER.encode(fields)


@dataclass(frozen=True, slots=True)
class BadRecord:
    """A record that could not be read: where it stands and why."""

    file: str
    line: int
    reason: str

    def __str__(self) -> str:
        return f"{self.file}:{self.line}: {self.reason}"


def read_split(path: Path) -> list[Record]:
    """All records of a prepared file, in order.

    Raises:
        InputError: the file is missing, or a line is not what `data prepare` writes; names `file:line`.
    """
    return list(iterate_split(path))


def iterate_split(path: Path) -> Iterator[Record]:
    """The records of a prepared file one by one, in order. Raises as `read_split`."""
    if not path.is_file():
        raise InputError(
            "This is a folder, not a file of records."
            if path.is_dir()
            else "There is no such file.",
            where=path,
            fix="Make train.jsonl, validation.jsonl and test.jsonl with: lexitrain data prepare",
        )
    with path.open("rb") as file:
        for number, line in enumerate(file, start=1):
            try:
                record = prepared_record(json.loads(line.decode()))
                if b"\\u" in line:
                    record.to_json().encode()  # half a surrogate pair would stop the tokenizer later
                yield record
            except (ValueError, KeyError, TypeError, RecursionError) as error:
                raise InputError(
                    f"This line is not a prepared record ({type(error).__name__}: {error}).",
                    where=f"{path}:{number}",
                    fix="Run `lexitrain data prepare` on raw records first.",
                ) from None


def prepared_record(fields: dict[str, Any]) -> Record:
    """The record of one prepared line. Raises ValueError, KeyError or TypeError when it is not one."""
    task, text, metadata = fields["task"], fields["input"], fields["metadata"]
    if not (isinstance(task, str) and isinstance(text, str) and isinstance(metadata, dict)):
        raise TypeError("task and input must be text, metadata an object")
    about = cast("dict[str, Any]", metadata)
    if "messages" in fields:
        return Record(task, text, None, about, tuple(_turn(turn) for turn in fields["messages"]))
    output = fields["output"]
    if not isinstance(output, dict | str):
        raise TypeError("output must be an object or text")
    return Record(task, text, cast("dict[str, Any] | str", output), about)


def _turn(turn: Any) -> dict[str, str]:
    role, content = turn["role"], turn["content"]
    if role not in ROLES or not isinstance(content, str):
        raise TypeError(f"a turn has a role ({', '.join(ROLES)}) and a content of text")
    return cast("dict[str, str]", turn)
