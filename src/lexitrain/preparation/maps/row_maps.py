"""Maps applied: one record of a row for each map.

What a map makes is a row in a known form and goes the way of all rows. Columns that no map names are kept as metadata.
A row whose cell is empty where the record needs one makes no record, and is counted. Costs some 5 microseconds a
record.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, cast

from lexitrain.errors import DataError, nearest
from lexitrain.preparation.dropped_records import UNUSED_CELL
from lexitrain.preparation.maps.cells import Cells, Source, as_number, decoded, is_empty
from lexitrain.preparation.maps.syntax import WHERE, RowMap, refuse_unknown_keys, understood
from lexitrain.records import BadRow
from lexitrain.tasks import Task

_COLUMNS_SHOWN = 20


class EmptyCell(Exception):
    """A row that makes no record, because a cell that the record needs is empty.

    Attributes:
        task: short name, as far as it is known.
        reason: which cell.
    """

    def __init__(self, task: str | None, reason: str) -> None:
        super().__init__(reason)
        self.task = task
        self.reason = reason


@dataclass(slots=True)
class Columns:
    """The columns of the rows seen so far.

    Attributes:
        wanted: those that a map names and that no row had.
        tasks: those that a map names for its task -> the task whose name is nearest.
        found: some names that rows had, in order.
    """

    wanted: frozenset[str]
    tasks: Mapping[str, str] = field(default_factory=dict[str, str])
    found: dict[str, None] = field(default_factory=dict[str, None])

    def find(self, names: Iterable[str]) -> None:
        """Remember names that a row has."""
        if len(self.found) < _COLUMNS_SHOWN:
            self.found |= dict.fromkeys(names)

    def add(self, later: Columns) -> None:
        """Take in those of a later part of the input."""
        self.wanted &= later.wanted
        self.find(later.found)

    def refuse_missing(self) -> None:
        """Raises DataError where a map names a column that no row had."""
        if not self.wanted or not self.found:
            return
        missing = sorted(self.wanted)
        close = [(name, self.tasks.get(name) or nearest(name, self.found)) for name in missing]
        hints = "; ".join(f"{meant} for {name}" for name, meant in close if meant)
        raise DataError(
            f"No row has the column {', '.join(missing)}. The columns found: {_listed(self.found)}.",
            where=WHERE,
            fix=f"Name columns that are there{f', perhaps {hints}' if hints else ''}.",
        )


class RowMaps:
    """All maps of a call.

    Args:
        maps: as the user gave them.
        tasks: by short name.
        aliases: every name of a task, to the short one.
        default: short name of the task of maps and rows that name none.

    Raises:
        InputError: a map cannot be understood, or lacks what a record needs.
        TaskError: a map names a task that is none.
    """

    def __init__(
        self,
        maps: Sequence[RowMap],
        tasks: Mapping[str, Task],
        aliases: Mapping[str, str],
        default: str | None,
    ) -> None:
        self._maps = [
            _Map(understood(each, tasks, aliases), tasks, aliases, default) for each in maps
        ]
        self._sources = {source.text: source for each in self._maps for source in each.columns}
        self._taken = {*self._sources, "task", "metadata"}
        named = [each.task_column for each in self._maps]
        near = {name: nearest(name, aliases) for name in named if name is not None}
        self._near_tasks = {name: meant for name, meant in near.items() if meant is not None}

    def __len__(self) -> int:
        return len(self._maps)

    def columns(self) -> Columns:
        """All columns that are wanted, none found yet."""
        return Columns(frozenset(self._sources), self._near_tasks)

    def note(self, row: object, columns: Columns) -> None:
        """Remember which columns a row has."""
        if isinstance(row, Mapping):
            cells = cast(Cells, row)
            columns.find(map(str, cells))
            if columns.wanted:
                there = {name for name in columns.wanted if self._sources[name].is_in(cells)}
                columns.wanted -= there

    def applied(self, row: object) -> Iterator[dict[str, Any] | BadRow | EmptyCell]:
        """What each map makes of a row: a row in a known form, or why there is none."""
        for each in self._maps:
            try:
                yield self._made(each, row)
            except BadRow as error:
                yield error
            except EmptyCell as empty:
                yield EmptyCell(empty.task, UNUSED_CELL) if len(self._maps) > 1 else empty

    def _made(self, each: _Map, row: object) -> dict[str, Any]:
        if not isinstance(row, Mapping):
            raise BadRow("a row that --map reads is an object")
        cells = cast(Cells, row)
        if not any(source.is_in(cells) for source in each.columns):
            named = ", ".join(source.text for source in each.columns)
            raise BadRow(f"none of the columns {named} of --map; there are: {_listed(cells)}")
        made = each.made_of(cells)
        own = decoded(cells.get("metadata")) if "metadata" not in self._sources else None
        mapped = decoded(made.get("metadata"))
        rest = {key: value for key, value in cells.items() if key not in self._taken}
        for further in (own, mapped):
            if isinstance(further, Mapping):
                rest |= cast(Cells, further)
            elif not is_empty(further):
                rest["metadata"] = further
        made["metadata"] = rest
        return made


class _Map:
    """One map: where each field comes from, and what its record needs."""

    def __init__(
        self,
        fields: Mapping[str, Source],
        tasks: Mapping[str, Task],
        aliases: Mapping[str, str],
        default: str | None,
    ) -> None:
        self.columns = [each for each in fields.values() if not each.is_constant]
        self._task = fields.get("task")
        self._fields = {name: source for name, source in fields.items() if name != "task"}
        self._tasks = tasks
        self._aliases = aliases
        self._default = default
        self.task_column = None if self._task is None or self._task.is_constant else self._task.text
        named = (
            default if self._task is None else self._task.text if self._task.is_constant else None
        )
        if named is not None:
            refuse_unknown_keys(fields, tasks[named])

    def made_of(self, cells: Cells) -> dict[str, Any]:
        """The row in a known form. Raises BadRow and EmptyCell."""
        name = self._task_of(cells)
        known = self._tasks.get(name) if isinstance(name, str) else None
        made: dict[str, Any] = {"task": name}
        empty: list[str] = []
        for target, source in self._fields.items():
            value = source.value(cells)
            if is_empty(value):
                empty.append(target)
            else:
                _put(made, target, _typed(value, target, known))
        for target in empty:
            if self._needs(target, known, made):
                raise EmptyCell(None if known is None else known.short, f"empty {target}")
        return made

    def _task_of(self, cells: Cells) -> object:
        value = cells.get("task") if self._task is None else self._task.value(cells)
        if is_empty(value):
            return self._default
        return self._aliases.get(value, value) if isinstance(value, str) else value

    def _needs(self, target: str, task: Task | None, made: Mapping[str, Any]) -> bool:
        outer, _, path = target.partition(".")
        if outer == "metadata":
            return False
        if outer == "input":  # an instruction may do without a text
            return "instruction" not in made
        if outer != "output" or not path or not made.get("output"):
            return True
        properties: Mapping[str, Any] = {} if task is None else task.schema["properties"]
        return "default" not in properties.get(path.partition(".")[0], {})


def _put(made: dict[str, Any], target: str, value: object) -> None:
    *outer, last = target.split(".")
    inner = made
    for key in outer:
        inner = inner.setdefault(key, {})
    inner[last] = value


def _typed(value: object, target: str, task: Task | None) -> object:
    """A cell as the task's answer wants it: tables hold numbers and lists as text."""
    outer, _, key = target.partition(".")
    if outer != "output" or not key or task is None or not isinstance(value, str):
        return value
    kind = task.schema["properties"].get(key, {}).get("type")
    if kind == "number":
        number = as_number(value)
        return value if number is None else number
    return decoded(value) if kind in ("array", "object") else value


def _listed(names: Iterable[str]) -> str:
    known = list(map(str, names))
    return ", ".join(known[:_COLUMNS_SHOWN]) + (", …" if len(known) > _COLUMNS_SHOWN else "")
