"""Answers as they come, in a file beside the evaluation: an evaluation that was killed goes on where it was.

The first line says which model was asked, and how. A journal with another first line is of another model and is
written anew. The last line may be cut off by a kill and is then left out.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, cast

from lexitrain.evaluation.generation import Said
from lexitrain.storage import append_to_journal, whole_lines, write_file

Key = tuple[str, int, int, str]
"""Task, row of the record, number of its turn (0 of a record without turns), hash of what the model was shown."""


class AnswerJournal:
    """The answers of one evaluation by what was asked.

    Attributes:
        problem: why answers are not kept; None while they are.

    Args:
        path: the file; its folder is made with the first answer.
        identity: what must be the same for answers to be the same, besides what the model is shown: its weights, and
            how it decodes.
    """

    def __init__(self, path: Path, identity: Mapping[str, Any]) -> None:
        self.path = path
        self._head = json.dumps({"model": dict(identity)}, sort_keys=True, default=str)
        self._known: dict[Key, list[Said]] = {}
        self._begun = False
        self.problem: str | None = None
        self._read()

    @property
    def known(self) -> Mapping[Key, list[Said]]:
        """The answers so far; several to each question where several are drawn."""
        return self._known

    def add(self, answers: Sequence[tuple[Key, list[Said]]]) -> None:
        """Keep answers; where they cannot be written the evaluation goes on without, and `problem` says why."""
        self._known.update(answers)
        if self.problem is not None:
            return
        try:
            self._write(answers)
        except OSError as error:
            self.problem = f"{self.path}: {error.strerror or error}"

    def _write(self, answers: Sequence[tuple[Key, list[Said]]]) -> None:
        lines = [
            json.dumps(
                {
                    "task": task,
                    "row": row,
                    "turn": turn,
                    "shown": shown,
                    "said": [[each.text, each.limit] for each in said],
                }
            )
            for (task, row, turn, shown), said in answers
        ]
        if not self._begun:
            self.path.parent.mkdir(parents=True, exist_ok=True)
            write_file(self.path, (self._head + "\n").encode())
            self._begun = True
        append_to_journal(self.path, "".join(line + "\n" for line in lines).encode())

    def remove(self) -> None:
        """The evaluation is complete and saved."""
        self.path.unlink(missing_ok=True)

    def _read(self) -> None:
        try:
            head, *lines = whole_lines(self.path)
        except (
            OSError,
            ValueError,
        ):  # none, or none that can be read: what is kept next says so
            return
        if head.decode(errors="replace") != self._head:
            return
        self._begun = True
        for line in lines:
            try:
                entry = cast("dict[str, Any]", json.loads(line))
                key = (
                    str(entry["task"]),
                    int(entry["row"]),
                    int(entry["turn"]),
                    str(entry["shown"]),
                )
                self._known[key] = [
                    Said(str(text), None if limit is None else int(limit))
                    for text, limit in entry["said"]
                ]
            except (ValueError, KeyError, TypeError, OverflowError, RecursionError):
                continue  # it is asked again
