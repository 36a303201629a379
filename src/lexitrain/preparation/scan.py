"""Scanning raw data: chunks of a source become tidy lines and the table that every later decision is made from.

This is where the time of `data prepare` goes (parsing, normalizing, checking, hashing: about 60 microseconds a
record), so it may run in worker processes (`workers.py`). What comes back is small: the lines as bytes, and about 75
bytes of numbers a record.
"""

from __future__ import annotations

from bisect import bisect_right
from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass, field

from lexitrain.preparation.advice.signs import Labels, place_of
from lexitrain.preparation.dropped_records import DroppedRecords, Loss, shortened
from lexitrain.preparation.kept_records import KeptRecords
from lexitrain.preparation.maps.row_maps import Columns, EmptyCell, RowMaps
from lexitrain.preparation.maps.syntax import RowMap
from lexitrain.preparation.own_splits import own_split
from lexitrain.preparation.record_table import RecordTable
from lexitrain.records import (
    NO_TASK,
    BadRecord,
    BadRow,
    Chunk,
    Record,
    emptiness,
    loose_words,
    tidy_record,
)
from lexitrain.tasks import OWN_TASK, aliases, find_task, registry

_PLACES_KEPT = 100  # bad records that the report names
_LONGEST_BAD = 360  # characters of a reason: some name every form that a record can have


@dataclass(frozen=True, slots=True)
class Rules:
    """What makes a row a record worth keeping; plain data, so that every process can make its own scanner of it.

    Attributes:
        task: the task of rows that name none, by either of its names.
        custom_tasks: `path.py` or `module:attribute` of the user's own tasks.
        minimum_characters: letters and digits an input must have.
        maps: makes records of rows in no known form; each makes one of every row.
        derive_errors: a grammar record without `errors` gets those of its edits.
    """

    task: str | None = None
    custom_tasks: tuple[str, ...] = ()
    minimum_characters: int = 1
    maps: tuple[RowMap, ...] = ()
    derive_errors: bool = False


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
        columns: those that the maps found.
        unlearnt: (task, key) -> how many of the kept records have a key in their output that is not taught.
        file: the source, as the user named it.
        labels: the texts of the labels that the table's signs number.
    """

    size: int
    rows: int
    lines: bytes
    table: RecordTable
    bad: list[BadRecord]
    losses: DroppedRecords
    columns: Columns
    unlearnt: Counter[tuple[str, str]]
    file: str
    labels: Labels


@dataclass(slots=True)
class Scan:
    """What all chunks hold together, growing chunk by chunk; without the lines, which the caller keeps.

    Attributes:
        rows: how many were read.
        bad: how many of them are no record; `bad_places` says where the first hundred are, and why.
        kept: how many records the table will hold.
        losses: the records that are not kept.
        columns: those that the maps found; None before the first chunk.
        unlearnt: (task, key) -> how many records have a key in their output that is not taught.
        labels: the texts of the labels that the table's signs number.
    """

    rows: int = 0
    bad: int = 0
    bad_places: list[BadRecord] = field(default_factory=list[BadRecord])
    kept: int = 0
    losses: DroppedRecords = field(default_factory=DroppedRecords)
    columns: Columns | None = None
    unlearnt: Counter[tuple[str, str]] = field(default_factory=Counter[tuple[str, str]])
    labels: Labels = field(default_factory=Labels)
    _starts: list[tuple[int, str]] = field(default_factory=list[tuple[int, str]])
    _tables: list[RecordTable] = field(default_factory=list[RecordTable])

    def add(self, chunk: ScannedChunk) -> None:
        """Take in the next chunk."""
        self.rows += chunk.rows
        self.bad += len(chunk.bad)
        self.bad_places += chunk.bad[: _PLACES_KEPT - len(self.bad_places)]
        self._starts.append((self.kept, chunk.file))
        self.kept += len(chunk.table.rows)
        self.labels.take(chunk.labels, chunk.table.rows["task"], chunk.table.signs)
        self.losses.add_all(chunk.losses)
        self.unlearnt += chunk.unlearnt
        if self.columns is None:
            self.columns = chunk.columns
        else:
            self.columns.add(chunk.columns)
        self._tables.append(chunk.table)

    def table(self) -> RecordTable:
        """The kept records of all chunks so far."""
        self._tables = [RecordTable.joined(self._tables)]  # lets the parts go
        return self._tables[0]

    def place(self, record: int) -> str:
        """`file:line` of a kept record, by its place in the table."""
        start = bisect_right(self._starts, record, key=lambda each: each[0]) - 1
        return place_of(self._starts[start][1], self.table().signs[record])


class Scanner:
    """Scans chunks by the rules. Loads the tasks once, so that one scanner serves a whole process.

    Attributes:
        rules: what it was made from.
        tasks: by short name.
        names: short names in a stable order; the table names a record's task by its place here.

    Raises:
        TaskError: a custom task cannot be loaded, or there is no task of the name that the rules give.
        InputError: a map cannot be understood.
    """

    def __init__(self, rules: Rules) -> None:
        self.rules = rules
        self.tasks = registry(rules.custom_tasks)
        self.names = sorted(self.tasks)
        self._aliases = aliases(self.tasks)
        self._default = (
            None
            if rules.task is None
            else find_task(rules.task, self.tasks, where="--task", fix=OWN_TASK).short
        )
        self._places = {name: place for place, name in enumerate(self.names)}
        self._maps = RowMaps(rules.maps, self.tasks, self._aliases, self._default)

    def scan(self, chunk: Chunk) -> ScannedChunk:
        """Parse, normalize, check and hash one chunk. Nothing here depends on any other chunk."""
        kept = KeptRecords(self._places, own_split(chunk))
        bad: list[BadRecord] = []
        losses = DroppedRecords()
        columns = self._maps.columns()
        unlearnt: Counter[tuple[str, str]] = Counter()
        rows = 0
        for number, row in chunk.parsed():
            for form, whole in self._forms(chunk, number, row, columns):
                rows += 1
                try:
                    if loss := self._take(form, whole, number, kept, unlearnt):
                        losses.add(*loss, example=f"{chunk.file}:{number}")
                except BadRow as error:
                    bad.append(BadRecord(chunk.file, number, shortened(str(error), _LONGEST_BAD)))
        lines, table = kept.lines(), kept.table()
        return ScannedChunk(
            *(chunk.size, rows, lines, table, bad, losses, columns, unlearnt),
            file=chunk.file,
            labels=kept.labels(),
        )

    def _forms(
        self, chunk: Chunk, number: int | str, row: object, columns: Columns
    ) -> Iterable[tuple[object, str | None]]:
        """What a row is to be read as, itself or what every map makes of it; and a name of the row where those are
        several."""
        if not self._maps or isinstance(row, str):
            return ((row, None),)
        self._maps.note(row, columns)
        several = len(self._maps) > 1
        whole = f"{chunk.file}:{number}\0{row!r}" if several else None
        return ((form, whole) for form in self._maps.applied(row))

    def _take(
        self,
        row: object,
        whole: str | None,
        number: int | str,
        kept: KeptRecords,
        unlearnt: Counter[tuple[str, str]],
    ) -> Loss | None:
        """Keep a row's record, or say why not. Raises BadRow where the row is no record.

        Args:
            whole: names the row that several records are made of.
            number: its line.
            unlearnt: counts the keys of its output that are not taught.
        """
        if isinstance(row, str):
            raise BadRow(row)
        if isinstance(row, BadRow):
            raise row
        if isinstance(row, EmptyCell):
            if row.task is None:
                raise BadRow(NO_TASK)
            return row.task, row.reason
        record, line = tidy_record(row, self._aliases, self._default)
        words = loose_words(record.input)
        if reason := self._reason_against(record, words):
            return record.task, reason
        task = self.tasks[record.task]
        if self.rules.derive_errors:
            completed = task.completed(record)
            if completed is not record:
                record, line = completed, (completed.to_json() + "\n").encode()
        for key in task.unlearnt(record):
            unlearnt[record.task, key] += 1
        kept.add(record, line, task, words, whole, number)
        return None

    def _reason_against(self, record: Record, words: list[str]) -> str | None:
        """Why the record is not kept, or None."""
        if reason := emptiness(record, words, self.rules.minimum_characters):
            return reason
        reason = self.tasks[record.task].check(record)
        return None if reason is None else f"invalid: {reason}"

    def learner_words(self, record: Record) -> list[str]:
        """The words that near duplicates are told by: those of the learner, without case and punctuation."""
        return loose_words(self.tasks[record.task].asked(record)[1])
