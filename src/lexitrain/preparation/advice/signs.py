"""Signs: what is remembered of a record so that advice can be given once all are known, 16 bytes each.

Labels are the texts of an answer's fields that may be classes: those without a default that are short. Each field
counts its different texts up to `MOST_CLASSES`; one with more is no field of classes. A chunk numbers the texts as it
meets them, and `Labels.take` renumbers them for all chunks, so that the numbers depend on the input's order alone.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from functools import cache
from typing import Any

import numpy as np
from numpy.typing import NDArray

from lexitrain.records import Record
from lexitrain.tasks import Task, may_be_english

MOST_FIELDS = 3  # fields of an answer that are watched
MOST_CLASSES = 200
TOO_MANY = MOST_CLASSES + 1
"""In place of a label's number: its field has more different texts than classes, or long ones."""

_LONGEST = 200  # characters of a class's name
_PLACE = re.compile(r"(\d+)(?:, element (\d+))?")

NO_ANSWER, OTHER_ANSWER_LANGUAGE, OTHER_TEXT_LANGUAGE = 1, 2, 4

SIGN = np.dtype(
    [
        ("number", np.float32),
        ("line", np.uint32),
        ("element", np.uint32),
        ("labels", np.uint8, MOST_FIELDS),
        ("flags", np.uint8),
    ]
)
"""The signs of one kept record.

    number: the value of the answer's first number field, NaN without one.
    line, element: where its row stands in the source; element 0 where the line says all.
    labels: of each of `class_fields` the number of its text, from 1; 0 for none.
    flags: NO_ANSWER (no answer that the task can read), OTHER_ANSWER_LANGUAGE, OTHER_TEXT_LANGUAGE.
"""


@cache
def class_fields(task: Task) -> tuple[str, ...]:
    """The fields of a task's answer that may hold classes: texts that must be there."""
    properties: Mapping[str, Any] = task.schema["properties"]
    found = (k for k, s in properties.items() if s.get("type") == "string" and "default" not in s)
    return tuple(found)[:MOST_FIELDS]


@cache
def number_field(task: Task) -> str | None:
    """The field of a task's answer that is a number: the first that must be there."""
    properties: Mapping[str, Any] = task.schema["properties"]
    for key, inner in properties.items():
        if inner.get("type") == "number" and "default" not in inner:
            return key
    return None


@dataclass(slots=True)
class Labels:
    """The texts of labels, by task (its place in the table) and field (its place in `class_fields`).

    Attributes:
        texts: in order of first appearance; the number of one in `SIGN` is its place plus 1.
        crowded: fields that have more than `MOST_CLASSES`, or a long one.
    """

    texts: dict[tuple[int, int], dict[str, int]] = field(
        default_factory=dict[tuple[int, int], dict[str, int]]
    )
    crowded: set[tuple[int, int]] = field(default_factory=set[tuple[int, int]])

    def number(self, task: int, place: int, text: str) -> int:
        """The number of a label; a new one where the text is new."""
        at = (task, place)
        if at in self.crowded:
            return TOO_MANY
        known = self.texts.setdefault(at, {})
        if text not in known:
            if len(text) > _LONGEST or len(known) == MOST_CLASSES:
                self.crowded.add(at)
                return TOO_MANY
            known[text] = len(known) + 1
        return known[text]

    def take(self, later: Labels, tasks: NDArray[np.int64], signs: NDArray[np.void]) -> None:
        """Take in the labels of a later chunk, and renumber its signs in place.

        Args:
            tasks: [records of the chunk] the place of each one's task.
        """
        for (task, place), known in later.texts.items():
            renumbered = np.full(TOO_MANY + 1, TOO_MANY, np.uint8)
            renumbered[0] = 0
            for text, number in known.items():
                renumbered[number] = self.number(task, place, text)
            mine = tasks == task
            signs["labels"][mine, place] = renumbered[signs["labels"][mine, place]]
        self.crowded |= later.crowded

    def names(self, task: int, place: int) -> list[str] | None:
        """The texts of a field in the order of their numbers; None where it is no field of classes."""
        at = (task, place)
        return None if at in self.crowded or at not in self.texts else list(self.texts[at])


class Signs:
    """Collects the signs of a chunk's records."""

    def __init__(self) -> None:
        self.labels = Labels()
        self._rows: list[tuple[float, int, int, tuple[int, ...], int]] = []

    def add(
        self, record: Record, task: Task, place: int, words: Sequence[str], row: int | str
    ) -> None:
        """The signs of one more record.

        Args:
            place: of the task in the table.
            words: loose words of the record's input.
            row: its line, or the text that names line and element.
        """
        plain = record.messages is None and isinstance(record.output, dict)
        answer: Mapping[str, Any] | None = record.output if plain else task.reference(record)  # pyright: ignore[reportAssignmentType]
        flags = 0 if answer is not None else NO_ANSWER
        answer = answer or {}
        given = task.given(record)
        numbers = [0] * MOST_FIELDS
        for at, key in enumerate(class_fields(task)):
            text = answer.get(key)
            if isinstance(text, str) and key not in given:
                numbers[at] = self.labels.number(place, at, text)
        if not all(fits(str(answer[key])) for key, fits in task.answer_language.items() if key in answer):  # fmt: skip
            flags |= OTHER_ANSWER_LANGUAGE
        if task.english and not may_be_english(record.input, words):
            flags |= OTHER_TEXT_LANGUAGE
        key = number_field(task)
        value = None if key is None else answer.get(key)
        line, element = (row, 0) if isinstance(row, int) else _line_and_element(row)
        number = float(value) if isinstance(value, int | float) else np.nan
        self._rows.append((number, line, element, tuple(numbers), flags))

    def table(self) -> NDArray[np.void]:
        """[records] of `SIGN`."""
        return np.array(self._rows, SIGN)


def _line_and_element(row: str) -> tuple[int, int]:
    found = _PLACE.fullmatch(row)
    return (int(found[1]), int(found[2] or 0)) if found else (0, 0)


def place_of(file: str, sign: np.void) -> str:
    """`file:line`, as bad records are named."""
    if not sign["line"]:
        return file
    element = f", element {sign['element']}" if sign["element"] else ""
    return f"{file}:{sign['line']}{element}"
