"""Everything that was seen of the records, as advice asks for it."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from lexitrain.preparation.advice.signs import class_fields
from lexitrain.preparation.duplicates import Hashes, mixed
from lexitrain.preparation.groups import Links
from lexitrain.records import SPLITS, TRAIN

if TYPE_CHECKING:
    from lexitrain.preparation.record_table import RecordTable
    from lexitrain.preparation.scan import Scan, Scanner
    from lexitrain.tasks import Task

_TRAIN = SPLITS.index(TRAIN)
_RECORDS_A_CLASS = 10


@dataclass(frozen=True)
class Seen:
    """The records of a preparation once their splits are known.

    Attributes:
        scan: what the scan counted.
        table: of all records that the scan kept.
        sides: [records] the split, as a place in `SPLITS`; anything above for one that is not written.
        near: near duplicates, each with the record that it repeats.
    """

    scan: Scan
    scanner: Scanner
    table: RecordTable
    sides: NDArray[np.uint8]
    near: Links

    @property
    def rows(self) -> NDArray[np.void]:
        """[records] of `ROW`."""
        return self.table.rows

    @property
    def signs(self) -> NDArray[np.void]:
        """[records] of `SIGN`."""
        return self.table.signs

    @cached_property
    def kept(self) -> NDArray[np.bool_]:
        """[records] whether each is written."""
        return self.sides < len(SPLITS)

    @cached_property
    def same_text(self) -> Hashes:
        """[records] equal for records of a task whose learner's words are equal, or nearly; of a conversation all that
        the model sees."""
        rows = self.rows
        texts = np.where(rows["excerpts"] > 0, rows["key"], rows["text"])
        texts = texts ^ mixed(rows["task"].astype(np.uint64) + np.uint64(1))
        later, leader = self.near
        # A text that nearly repeats another stands for it, and so does every exact copy of that text.
        stands_for = dict(zip(texts[later].tolist(), texts[leader].tolist(), strict=True))
        if stands_for:
            places = np.flatnonzero(np.isin(texts, texts[later]))
            texts[places] = [stands_for[each] for each in texts[places].tolist()]
        return texts

    def place(self, record: int) -> str:
        """`file:line` of a record."""
        return self.scan.place(int(record))

    def task(self, number: int) -> Task:
        """The task at a place in the table."""
        return self.scanner.tasks[self.scanner.names[number]]

    def tasks(self) -> Iterator[tuple[int, Task]]:
        """The tasks that are written any records of, by their place in the table."""
        there = np.bincount(self.rows["task"][self.kept], minlength=len(self.scanner.names))
        for number in np.flatnonzero(there):
            yield int(number), self.task(int(number))

    def about(
        self, number: int, place: int, classes: Sequence[str]
    ) -> tuple[Task, str, NDArray[np.int64]]:
        """The task, the field, and how many records of train each class has."""
        task = self.task(number)
        mine = (self.rows["task"] == number) & (self.sides == _TRAIN)
        codes = self.signs["labels"][mine, place]
        counts = np.bincount(codes, minlength=len(classes) + 1)[1 : len(classes) + 1]
        return task, class_fields(task)[place], counts

    def classes(self, number: int, task: Task, place: int) -> list[str] | None:
        """The classes of a field, those of its schema that no record has last; None where it is no field of classes."""
        found = self.scan.labels.names(number, place)
        if found is None:
            return None
        inner: dict[str, Any] = task.schema["properties"][class_fields(task)[place]]
        listed: list[str] = [each for each in inner.get("enum", ()) if isinstance(each, str)]
        if listed:
            return [*found, *(each for each in listed if each not in found)]
        _, _, counts = self.about(number, place, found)
        return found if int(counts.sum()) >= _RECORDS_A_CLASS * len(found) else None
