"""The records that a model is scored on, and those that the trivial predictor learns from."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path

from lexitrain.errors import DataError
from lexitrain.records import TEST, TRAIN, BadRecord, Record, read_records, split_file
from lexitrain.storage import user_path
from lexitrain.tasks import Task, aliases


@dataclass(frozen=True, slots=True)
class HeldOut:
    """What to score on.

    Attributes:
        name: of the evaluation: the file's, with what narrows it down.
        file: the file that the records come from.
        records: to be scored, each with its row in the file.
        train: what the trivial predictor learns from.
        train_file: where those come from; the scored file itself where there is no training data.
        unknown: task name to number of records whose task is not known here.
    """

    name: str
    file: Path
    records: tuple[tuple[int, Record], ...]
    train: tuple[Record, ...]
    train_file: Path
    unknown: Mapping[str, int] = field(default_factory=dict[str, int])


def read_held_out(
    path: Path,
    registry: Mapping[str, Task],
    *,
    task: str | None = None,
    limit: int | None = None,
    run_data: Path | None = None,
    skip_unknown: bool = False,
) -> HeldOut:
    """Records from a prepared folder (its `test.jsonl`) or from a file in any form that `data prepare` reads.

    Args:
        task: score this task alone.
        limit: most records to score; each task keeps its share, from all over the file.
        run_data: data folder of the run, asked for `train.jsonl` when the scored file has none beside it.
        skip_unknown: count records of unknown tasks, as the run's own tasks were not loaded, instead of refusing them.

    Raises:
        DataError: no such file, a line that is no record, an unknown task, or nothing left to score.
    """
    path = user_path(path)
    file = split_file(path, TEST) if path.is_dir() else path
    if not file.is_file():
        raise DataError(
            "There is no such file to evaluate on.",
            where=file,
            fix="Give a file of records, or a folder made by `lexitrain data prepare`.",
        )
    known = {each.short for each in registry.values()}
    read = list(enumerate(_read(file, registry, any_task=skip_unknown)))
    rows = [(n, record) for n, record in read if record.task in ({task} if task else known)]
    unknown = {} if task else Counter(r.task for _, r in read if r.task not in known)
    if not rows and not unknown:
        raise DataError(
            "There is no record to score." if task is None else f"No record is of task {task}.",
            where=file,
            fix="Give another file, or another --task.",
        )
    scored = rows if limit is None or limit >= len(rows) else _spread(rows, limit)
    folders = [file.parent, *([run_data] if run_data else [])]
    beside = (split_file(folder, TRAIN) for folder in folders)
    found = next((path for path in beside if path.is_file()), file)
    train = [record for _, record in rows]
    if found != file:
        train = _read(found, registry, any_task=skip_unknown)
    name = "-".join(
        [file.stem, *([task] if task else []), *([f"{len(scored)}"] if scored is not rows else [])]
    )
    return HeldOut(name, file, tuple(scored), tuple(train), found, unknown)


def _read(file: Path, registry: Mapping[str, Task], *, any_task: bool) -> list[Record]:
    """The records of a file; with `any_task` those of unknown tasks too, under the name that they have there."""
    names = aliases(registry)
    records: list[Record] = []
    for record in read_records(file, aliases=None if any_task else names):
        if isinstance(record, BadRecord):
            raise DataError(
                f"This is no record: {record.reason}.",
                where=f"{record.file}:{record.line}",
                fix="Clean the file first: lexitrain data prepare",
            )
        records.append(replace(record, task=names.get(record.task, record.task)))
    return records


def _spread(rows: Sequence[tuple[int, Record]], limit: int) -> list[tuple[int, Record]]:
    """`limit` of the rows, each task's share as in the whole, in the order of the file."""
    by_task = sorted(rows, key=lambda row: row[1].task)
    chosen = [by_task[place * len(rows) // limit] for place in range(limit)]
    return sorted(chosen, key=lambda row: row[0])
