"""What is kept of a chunk while it is scanned: lines, and the rows of the table that they get."""

from __future__ import annotations

from collections.abc import Container, Iterable, Iterator, Sequence
from hashlib import blake2b

import numpy as np
from numpy.typing import NDArray

from lexitrain.preparation.advice.signs import Labels, Signs
from lexitrain.preparation.duplicates import SHORTEST, Hashes, band_keys, mixed
from lexitrain.preparation.record_table import EXCERPT, ROW, RecordTable
from lexitrain.records import Record, loose_words
from lexitrain.tasks import Task

_DIGEST_BYTES = 8
MOST_KEYS = 16  # of an answer, as the table has bits for them
_MOST_WORDS = 255  # of an excerpt, as the table counts them


class KeptRecords:
    """Collects records, a list for each column of the table while it grows.

    Args:
        tasks: places of the short names in the table.
        own: the split that the chunk's source names.
    """

    def __init__(self, tasks: dict[str, int], own: int) -> None:
        self._own = own
        self._signs = Signs()
        self._places = tasks
        self._lines: list[bytes] = []
        self._tasks: list[int] = []
        self._keys: list[str] = []
        self._answers: list[str] = []
        self._texts: list[str] = []
        # By place, of those that have any: most records have none.
        self._groups: dict[int, str] = {}
        self._of_row: dict[int, str] = {}
        self._beginnings: dict[int, list[int]] = {}
        self._excerpts: dict[int, list[tuple[int, int, int]]] = {}
        self._lacking: dict[int, int] = {}
        self._long: dict[int, list[str]] = {}
        self._long_beside: list[int] = []

    def add(
        self,
        record: Record,
        line: bytes,
        task: Task,
        words: list[str],
        row: str | None,
        number: int | str,
    ) -> None:
        """Keep a record.

        Args:
            words: loose words of its input.
            row: names the row, where several records are made of it; None where one is.
            number: its line, or the text that names line and element.
        """
        self._signs.add(record, task, self._places[record.task], words, number)
        prompt, said, beside, excerpts = task.asked(record)
        place = len(self._lines)
        if "\n" in said:
            lines = [loose_words(text) for text in said.split("\n")]
            self._beginnings[place] = list(_beginnings(lines))
            words = [word for text in lines for word in text]
        elif said != record.input:  # most tasks ask for nothing else: its words are known already
            words = loose_words(said)
        if len(words) >= SHORTEST:
            self._long[place] = words
            self._long_beside.append(_hash(beside) if beside else 0)
        key = f"{record.task}\0{prompt}"
        if excerpts:
            # Around a whole turn stands nothing that another record shares.
            self._excerpts[place] = [
                (
                    _hash(each.words),
                    _hash(key if each.around is None else each.around),
                    min(each.length, _MOST_WORDS),
                )
                for each in excerpts
            ]
        missing = task.lacking(record)
        if missing:
            self._lacking[place] = _bits(task, missing)
        if row is not None:
            self._of_row[place] = row
        group = record.metadata.get("group")
        # An empty cell of a table names no group; taken as one, it would tie all its rows together.
        if group not in (None, ""):
            self._groups[place] = f"group\0{group}"
        self._lines.append(line)
        self._tasks.append(self._places[record.task])
        self._keys.append(key)
        self._answers.append(task.learnt(record, lacking=bool(missing)))
        self._texts.append("".join(words))

    def lines(self) -> bytes:
        """The lines of all records."""
        return b"".join(self._lines)

    def labels(self) -> Labels:
        """The texts of the labels that the table's signs number."""
        return self._signs.labels

    def table(self) -> RecordTable:
        """A row for each of the lines."""
        bands = band_keys(list(self._long.values()))
        # Two conversations are near duplicates only where all but the learner's words is equal.
        beside = np.array(self._long_beside, np.uint64)
        bands[beside != 0] += mixed(beside[beside != 0])[:, None]
        return RecordTable(
            self._rows(),
            np.array([each for found in self._beginnings.values() for each in found], np.uint64),
            np.array([each for found in self._excerpts.values() for each in found], EXCERPT),
            np.array(list(self._long), np.int64),
            bands,
            self._signs.table(),
        )

    def _rows(self) -> NDArray[np.void]:
        rows = np.zeros(len(self._lines), ROW)
        rows["key"] = _hashes(self._keys)
        rows["answer"] = _hashes(self._answers)
        rows["text"] = _hashes(self._texts)
        rows["length"] = list(map(len, self._lines))
        rows["task"] = self._tasks
        rows["own"] = self._own
        for column, texts in (("group", self._groups), ("row", self._of_row)):
            rows[column][list(texts)] = _hashes(texts.values())
        for column, found in (("beginnings", self._beginnings), ("excerpts", self._excerpts)):
            rows[column][list(found)] = list(map(len, found.values()))
        rows["lacking"][list(self._lacking)] = list(self._lacking.values())
        return rows


def _bits(task: Task, missing: Container[str]) -> int:
    keys = list(task.schema["properties"])[:MOST_KEYS]
    return sum(1 << place for place, key in enumerate(keys) if key in missing)


def _hashes(texts: Iterable[str]) -> Hashes:
    digests = [blake2b(text.encode(), digest_size=_DIGEST_BYTES).digest() for text in texts]
    return np.frombuffer(b"".join(digests), "<u8")


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
