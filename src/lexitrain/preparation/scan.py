"""Scanning raw data: chunks of a source become tidy lines and the table that every later decision is made from.

This is where the time of `data prepare` goes (parsing, normalizing, checking, hashing: about 60 microseconds a
record), so it may run in worker processes (`workers.py`). What comes back is small: the lines as bytes, and about 60
bytes of numbers a record.
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import dataclass, field
from hashlib import blake2b

import numpy as np

from lexitrain.preparation.dropped_records import DroppedRecords
from lexitrain.preparation.duplicates import SHORTEST, band_keys
from lexitrain.preparation.record_table import ROW, RecordTable
from lexitrain.records import (
    BadRecord,
    BadRow,
    Chunk,
    Record,
    emptiness,
    is_learnt,
    loose_words,
    tidy_record,
)
from lexitrain.tasks import aliases, find_task, registry

_DIGEST_BYTES = 8
_NO_GROUP = 0
_PLACES_KEPT = 100  # bad records that the report names


@dataclass(frozen=True, slots=True)
class Rules:
    """What makes a row a record worth keeping; plain data, so that every process can make its own scanner of it.

    Attributes:
        task: the task of rows that name none, by either of its names.
        custom_tasks: `path.py` or `module:attribute` of the user's own tasks.
        minimum_characters: letters and digits an input must have.
    """

    task: str | None = None
    custom_tasks: tuple[str, ...] = ()
    minimum_characters: int = 1


@dataclass(frozen=True, slots=True)
class ScannedChunk:
    """What one chunk holds.

    Attributes:
        size: bytes of the source up to the end of the chunk, for progress; 0 where unknown.
        rows: how many there were.
        lines: the kept records, normalized, one JSON line each.
        table: one row for each of these lines.
        bad: the rows that are no record.
        losses: the records that are not kept.
    """

    size: int
    rows: int
    lines: bytes
    table: RecordTable
    bad: list[BadRecord]
    losses: DroppedRecords


@dataclass(slots=True)
class Scan:
    """What all chunks hold together, growing chunk by chunk; without the lines, which the caller keeps.

    Attributes:
        rows: how many were read.
        bad: how many of them are no record; `bad_places` says where the first hundred are, and why.
        kept: how many records the table will hold.
        losses: the records that are not kept.
    """

    rows: int = 0
    bad: int = 0
    bad_places: list[BadRecord] = field(default_factory=list[BadRecord])
    kept: int = 0
    losses: DroppedRecords = field(default_factory=DroppedRecords)
    _tables: list[RecordTable] = field(default_factory=list[RecordTable])

    def add(self, chunk: ScannedChunk) -> None:
        """Take in the next chunk."""
        self.rows += chunk.rows
        self.bad += len(chunk.bad)
        self.bad_places += chunk.bad[: _PLACES_KEPT - len(self.bad_places)]
        self.kept += len(chunk.table.rows)
        self.losses.add_all(chunk.losses)
        self._tables.append(chunk.table)

    def table(self) -> RecordTable:
        """The kept records of all chunks so far."""
        self._tables = [RecordTable.joined(self._tables)]  # lets the parts go
        return self._tables[0]


class Scanner:
    """Scans chunks by the rules. Loads the tasks once, so that one scanner serves a whole process.

    Attributes:
        rules: what it was made from.
        tasks: by short name.
        names: short names in a stable order; the table names a record's task by its place here.

    Raises:
        TaskError: a custom task cannot be loaded, or there is no task of the name that the rules give.
    """

    def __init__(self, rules: Rules) -> None:
        self.rules = rules
        self.tasks = registry(rules.custom_tasks)
        self.names = sorted(self.tasks)
        self._aliases = aliases(self.tasks)
        self._default = (
            None if rules.task is None else find_task(rules.task, self.tasks, where="--task").short
        )

    def scan(self, chunk: Chunk) -> ScannedChunk:
        """Parse, normalize, check and hash one chunk. Nothing here depends on any other chunk."""
        kept = _Kept(self.names)
        bad: list[BadRecord] = []
        losses = DroppedRecords()
        rows = 0
        for number, row in chunk.parsed():
            rows += 1
            try:
                if isinstance(row, str):
                    raise BadRow(row)
                record, line = tidy_record(row, self._aliases, self._default)
            except BadRow as error:
                bad.append(BadRecord(chunk.file, number, str(error)))
                continue
            words = loose_words(record.input)
            reason = self._reason_against(record, words)
            if reason is None:
                prompt, said = self.tasks[record.task].asked(record)
                # Most tasks ask for nothing but the input: its words are known already.
                kept.add(record, line, prompt, said, words if said == record.input else None)
            else:
                losses.add(record.task, reason, example=f"{chunk.file}:{number}")
        return ScannedChunk(chunk.size, rows, kept.lines(), kept.table(), bad, losses)

    def _reason_against(self, record: Record, words: list[str]) -> str | None:
        """Why the record is not kept, or None."""
        if reason := emptiness(record, words, self.rules.minimum_characters):
            return reason
        reason = self.tasks[record.task].check(record)
        return None if reason is None else f"invalid: {reason}"

    def learner_words(self, record: Record) -> list[str]:
        """The words that near duplicates are told by: those of the learner, without case and punctuation."""
        return loose_words(self.tasks[record.task].asked(record)[1])


class _Kept:
    """Collects what is kept of a chunk, in lists while it grows."""

    def __init__(self, names: list[str]) -> None:
        self._places = {name: place for place, name in enumerate(names)}
        self._lines: list[bytes] = []
        self._rows: list[tuple[int, ...]] = []
        self._beginnings: list[int] = []
        self._long: list[int] = []
        self._long_words: list[list[str]] = []

    def add(
        self, record: Record, line: bytes, prompt: str, said: str, words: list[str] | None
    ) -> None:
        """Keep a record.

        Args:
            prompt, said: as `Task.asked` tells them. Records of a task with equal prompts are exact duplicates; near
                duplicates, and what one side of a split keeps together, are found by the words of `said`.
            words: loose words of `said`, where they are known.
        """
        if words is None:
            words = loose_words(said)
        if len(words) >= SHORTEST:
            self._long.append(len(self._lines))
            self._long_words.append(words)
        before = len(self._beginnings)
        if "\n" in said:
            self._beginnings += _beginnings(said)
        group = record.metadata.get("group")
        self._lines.append(line)
        self._rows.append(
            (
                len(line),
                self._places[record.task],
                _hash(f"{record.task}\0{prompt}"),
                _hash(_learnt(record)),
                _hash("".join(words)),
                # An empty cell of a table names no group; taken as one, it would tie all its rows together.
                _NO_GROUP if group in (None, "") else _hash(f"group\0{group}"),
                len(self._beginnings) - before,
            )
        )

    def lines(self) -> bytes:
        return b"".join(self._lines)

    def table(self) -> RecordTable:
        return RecordTable(
            np.array(self._rows, ROW),
            np.array(self._beginnings, np.uint64),
            np.array(self._long, np.int64),
            band_keys(self._long_words),
        )


def _hash(text: str) -> int:
    return int.from_bytes(blake2b(text.encode(), digest_size=_DIGEST_BYTES).digest(), "little")


def _beginnings(said: str) -> Iterator[int]:
    """The hashes of all proper beginnings of a text of several lines; each equals that of a text which is no longer."""
    digest = blake2b(digest_size=_DIGEST_BYTES)
    begun = False
    for line in said.split("\n"):
        words = "".join(loose_words(line))
        if words:
            if begun:
                yield int.from_bytes(digest.digest(), "little")
            digest.update(words.encode())
            begun = True


def _learnt(record: Record) -> str:
    if record.messages is None:
        return json.dumps(record.output, sort_keys=True)
    return "\0".join(turn["content"] for turn in record.messages if is_learnt(turn))
