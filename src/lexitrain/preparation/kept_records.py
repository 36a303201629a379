"""What is kept of a chunk while it is scanned: lines, and the rows of the table that they get."""

from __future__ import annotations

from collections.abc import Container, Iterable, Iterator, Sequence
from hashlib import blake2b

import numpy as np
from numpy.typing import NDArray

from lexitrain.preparation.duplicates import SHORTEST, band_keys, mixed
from lexitrain.preparation.record_table import EVERY, EXCERPT, ROW, RecordTable
from lexitrain.records import Record, loose_words
from lexitrain.tasks import Task

_DIGEST_BYTES = 8
MOST_KEYS = 16  # of an answer, as the table has bits for them
_MOST_WORDS = 255  # of an excerpt, as the table counts them


class KeptRecords:
    """Collects records, in lists while they grow.

    Args:
        tasks: places of the short names in the table.
        own: the split that the chunk's source names.
    """

    def __init__(self, tasks: dict[str, int], own: int) -> None:
        self._tasks = tasks
        self._own = own
        self._lines: list[bytes] = []
        self._rows: list[tuple[int, ...]] = []
        self._beginnings: list[int] = []
        self._excerpts: list[tuple[int, int, int]] = []
        # By place, of those that have any: most records have none.
        self._of_row: dict[int, int] = {}
        self._counts: dict[int, int] = {}
        self._lacking: dict[int, int] = {}
        self._long: list[int] = []
        self._long_words: list[list[str]] = []
        self._long_beside: list[int] = []

    def add(
        self, record: Record, line: bytes, task: Task, words: list[str], row: str | None
    ) -> None:
        """Keep a record.

        Args:
            words: loose words of its input.
            row: names the row, where several records are made of it; None where one is.
        """
        prompt, said, beside, excerpts = task.asked(record)
        before = len(self._beginnings)
        if "\n" in said:
            lines = [loose_words(line) for line in said.split("\n")]
            self._beginnings += _beginnings(lines)
            words = [word for line in lines for word in line]
        elif said != record.input:  # most tasks ask for nothing else: its words are known already
            words = loose_words(said)
        if len(words) >= SHORTEST:
            self._long.append(len(self._lines))
            self._long_words.append(words)
            self._long_beside.append(_hash(beside) if beside else 0)
        key = _hash(f"{record.task}\0{prompt}")
        for each in excerpts:
            # Around a whole turn stands nothing that another record shares.
            around = key if each.around is None else _hash(each.around)
            self._excerpts.append((_hash(each.words), around, min(each.length, _MOST_WORDS)))
        if row is not None:
            self._of_row[len(self._lines)] = _hash(row)
        if excerpts:
            self._counts[len(self._lines)] = len(excerpts)
        missing = task.lacking(record)
        if missing:
            self._lacking[len(self._lines)] = _bits(task, missing)
        group = record.metadata.get("group")
        self._lines.append(line)
        self._rows.append(
            (
                len(line),
                self._tasks[record.task],
                key,
                _hash(task.learnt(record, lacking=bool(missing))),
                _hash("".join(words)),
                # An empty cell of a table names no group; taken as one, it would tie all its rows together.
                0 if group in (None, "") else _hash(f"group\0{group}"),
                len(self._beginnings) - before,
            )
        )

    def lines(self) -> bytes:
        """The lines of all records."""
        return b"".join(self._lines)

    def table(self) -> RecordTable:
        """A row for each of the lines."""
        bands = band_keys(self._long_words)
        # Two conversations are near duplicates only where all but the learner's words is equal.
        beside = np.array(self._long_beside, np.uint64)
        bands[beside != 0] += mixed(beside[beside != 0])[:, None]
        return RecordTable(
            self._table_rows(),
            np.array(self._beginnings, np.uint64),
            np.array(self._excerpts, EXCERPT),
            np.array(self._long, np.int64),
            bands,
        )

    def _table_rows(self) -> NDArray[np.void]:
        rows = np.zeros(len(self._rows), ROW)
        rows[list(EVERY.names or ())] = np.array(self._rows, EVERY)
        rows["own"] = self._own
        for column, values in (
            ("row", self._of_row),
            ("excerpts", self._counts),
            ("lacking", self._lacking),
        ):
            rows[column][list(values)] = list(values.values())
        return rows


def _bits(task: Task, missing: Container[str]) -> int:
    keys = list(task.schema["properties"])[:MOST_KEYS]
    return sum(1 << place for place, key in enumerate(keys) if key in missing)


def _hash(text: str) -> int:
    return int.from_bytes(blake2b(text.encode(), digest_size=_DIGEST_BYTES).digest(), "little")


def _beginnings(lines: Iterable[Sequence[str]]) -> Iterator[int]:
    """The hashes of all proper beginnings of a text of several lines; each equals that of a text which is no longer.

    Args:
        lines: the loose words of each.
    """
    digest = blake2b(digest_size=_DIGEST_BYTES)
    begun = False
    for line in lines:
        words = "".join(line)
        if words:
            if begun:
                yield int.from_bytes(digest.digest(), "little")
            digest.update(words.encode())
            begun = True
