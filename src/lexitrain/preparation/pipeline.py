"""Raw records in, a clean split out: what `lexitrain data prepare` does.

Two passes. The first takes everything in (parse, normalize, check, hash; in worker processes where that pays),
writes tidy lines to an unnamed temporary file on the output's disk, and keeps about 60 bytes of numbers a record.
Duplicates, groups and splits are decided on those numbers. The second pass copies each kept line to its split.
Nothing appears under the output's name before all of it is complete, and the same input with the same seed gives the
same bytes, whatever the number of workers.

Costs about 100 microseconds of processor time a record, and disk space for the data twice while it runs.
"""

from __future__ import annotations

import hashlib
import json
import os
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack
from dataclasses import dataclass, field
from pathlib import Path
from tempfile import TemporaryFile
from typing import Any, BinaryIO

import numpy as np
from numpy.typing import NDArray

from lexitrain.errors import InputError
from lexitrain.preparation.duplicates import Hashes, exact_duplicates, mixed, near_duplicates
from lexitrain.preparation.groups import Links, connected_groups, continued
from lexitrain.preparation.scan import Intake, Intakes, Loss, Rules, counted, workers_for
from lexitrain.preparation.split import SPLITS, assign_splits
from lexitrain.records.normalization import loose_words
from lexitrain.records.record import BadRecord, prepared_record
from lexitrain.records.sources import Chunk, chunks, expanded, source_bytes
from lexitrain.storage.atomic import folder_at_once

REPORT = "report.json"

Progress = Callable[[str, int, int], None]
"""Called with what is being done, how much of it is done, and how much there is (0: unknown)."""

_PLACES_KEPT = 100  # bad records that the report names
_PLACES_SHOWN = 5  # and that an error names
_DROPPED = 255  # in place of a split


@dataclass(slots=True)
class _Ledger:
    """What the first pass knows, growing chunk by chunk."""

    rows: int = 0
    bad: int = 0
    bad_places: list[BadRecord] = field(default_factory=list[BadRecord])
    dropped: Counter[Loss] = field(default_factory=Counter[Loss])
    examples: dict[Loss, str] = field(default_factory=dict[Loss, str])
    lengths: list[NDArray[np.int64]] = field(default_factory=list[NDArray[np.int64]])
    tasks: list[NDArray[np.int64]] = field(default_factory=list[NDArray[np.int64]])
    keys: list[Hashes] = field(default_factory=list[Hashes])
    answers: list[Hashes] = field(default_factory=list[Hashes])
    texts: list[Hashes] = field(default_factory=list[Hashes])
    openings: list[Hashes] = field(default_factory=list[Hashes])
    beginnings: list[NDArray[np.int64]] = field(default_factory=list[NDArray[np.int64]])
    groups: list[Hashes] = field(default_factory=list[Hashes])
    long: list[NDArray[np.int64]] = field(default_factory=list[NDArray[np.int64]])
    bands: list[Hashes] = field(default_factory=list[Hashes])
    kept: int = 0

    def add(self, intake: Intake) -> None:
        self.rows += intake.rows
        self.bad += len(intake.bad)
        self.bad_places += intake.bad[: _PLACES_KEPT - len(self.bad_places)]
        for loss, count in intake.dropped.items():
            name = counted(self.dropped, loss)
            self.dropped[name] += count
            self.examples.setdefault(name, intake.examples[loss])
        self.lengths.append(intake.lengths)
        self.tasks.append(intake.tasks)
        self.keys.append(intake.keys)
        self.answers.append(intake.answers)
        self.texts.append(intake.texts)
        self.openings.append(intake.openings)
        self.beginnings.append(intake.beginnings)
        self.groups.append(intake.groups)
        self.long.append(intake.long + self.kept)
        self.bands.append(intake.bands)
        self.kept += len(intake.lengths)


def prepare(
    sources: Sequence[str],
    out: Path,
    rules: Rules,
    *,
    seed: int = 42,
    max_bad: float = 0.01,
    workers: int | None = None,
    progress: Progress | None = None,
) -> dict[str, Any]:
    """Clean, deduplicate and split `sources` into the folder `out`; returns what report.json says.

    Args:
        sources: files, folders of files, or Hub ids, in order; where records repeat, the first one is kept.
        max_bad: share of rows that may be bad before everything stops.
        workers: processes that parse; None chooses by the input's size, 0 works in this process.

    Raises:
        InputError: a source cannot be read, too many records are bad, or none is left; nothing is written.
        Stopped: the disk is full; nothing is left behind.
    """
    tell = progress or _tell_nobody
    files, not_read = expanded(sources, out)
    streams = [chunks(source) for source in files]  # a missing one is reported before any work
    inputs = [(source, source_bytes(source)) for source in files]
    total = sum(size for _, size in inputs)
    count = workers_for(total) if workers is None else workers
    with folder_at_once(out, REPORT) as folder:
        with TemporaryFile(dir=folder) as spool:
            ledger = _Ledger()
            with Intakes(rules, count) as intakes:
                for done, intake in _with_progress(intakes, streams, inputs):
                    ledger.add(intake)
                    spool.write(intake.lines)
                    tell("reading", done, total)
            _stop_if_bad(ledger, max_bad)
            spool.flush()
            tell("finding duplicates", 0, 0)
            lengths = np.concatenate(ledger.lengths)
            tasks = np.concatenate(ledger.tasks)
            names = rules.tasks()
            fate, repeated = _kept_once(ledger, lengths, tasks, rules, spool)
            tell("splitting", 0, 0)
            groups = _split(ledger, tasks, fate, repeated, seed)
            written = _write(spool, lengths, fate, folder, tell)
        report = {
            "seed": seed,
            "max_bad": max_bad,
            "minimum_characters": rules.minimum_characters,
            "inputs": [_fingerprint(source, size) for source, size in inputs],
            "not_read": not_read,
            **_counts(ledger, tasks, fate, names),
            "groups": groups,
            "splits": written,
        }
        (folder / REPORT).write_text(
            json.dumps(report, indent=2, ensure_ascii=False) + "\n", encoding="utf-8"
        )
    return report


def _tell_nobody(_stage: str, _done: int, _total: int) -> None:
    pass


def _with_progress(
    intakes: Intakes, streams: Sequence[Iterator[Chunk]], inputs: Sequence[tuple[str, int]]
) -> Iterator[tuple[int, Intake]]:
    """`(bytes of all sources that are taken in, intake)`."""
    before = 0
    for stream, (_, size) in zip(streams, inputs, strict=True):
        for intake in intakes.of(stream):
            yield before + intake.size, intake
        before += size


def _stop_if_bad(ledger: _Ledger, max_bad: float) -> None:
    shown = "\n".join(f"  {bad}" for bad in ledger.bad_places[:_PLACES_SHOWN])
    if ledger.bad > max_bad * ledger.rows:
        raise InputError(
            f"{ledger.bad:,} of {ledger.rows:,} records are bad, more than --max-bad {max_bad:.3g}; "
            f"nothing was written. The first ones:\n{shown}",
            fix="Mend them, or allow more with --max-bad.",
        )
    if not ledger.kept:
        reasons = ", ".join(
            f"{reason} ({count:,})" for (_, reason), count in ledger.dropped.most_common(3)
        )
        raise InputError(
            f"No record is left to train on: {reasons or 'the input is empty'}; nothing was written.",
            fix="Bring records with an input and an output: docs/data.md shows every form.",
        )


def _kept_once(
    ledger: _Ledger,
    lengths: NDArray[np.int64],
    tasks: NDArray[np.int64],
    rules: Rules,
    spool: BinaryIO,
) -> tuple[NDArray[np.uint8], Links]:
    """The fate of each record, `_DROPPED` for one that repeats another, 0 otherwise; and the near duplicates, each with
    the record that it repeats. Counts the losses."""
    names = rules.tasks()
    fate = np.zeros(ledger.kept, np.uint8)
    answers = np.concatenate(ledger.answers)
    first = exact_duplicates(np.concatenate(ledger.keys))
    repeats = first != np.arange(ledger.kept)
    conflicts = repeats & (answers != answers[first])
    _count(ledger, tasks[repeats & ~conflicts], names, "exact duplicate")
    _count(ledger, tasks[conflicts], names, "exact duplicate with another answer")
    fate[repeats] = _DROPPED

    long = np.concatenate(ledger.long)
    unique = ~repeats[long]
    long, bands = long[unique], np.concatenate(ledger.bands)[unique]
    salt = mixed(tasks[long].astype(np.uint64) + np.uint64(1))
    starts = np.cumsum(lengths) - lengths

    def words_of(place: int) -> list[str]:
        record = long[place]
        line = os.pread(spool.fileno(), int(lengths[record]), int(starts[record]))
        return loose_words(rules.asked(prepared_record(json.loads(line)))[1])

    leaders = near_duplicates(bands + salt[:, None], words_of)
    repeating = leaders >= 0
    near = long[repeating]
    _count(ledger, tasks[near], names, "near duplicate")
    fate[near] = _DROPPED
    return fate, (near, long[leaders[repeating]])


def _count(ledger: _Ledger, tasks: NDArray[np.int64], names: Sequence[str], reason: str) -> None:
    for task, count in enumerate(np.bincount(tasks, minlength=len(names))):
        if count:
            ledger.dropped[names[task], reason] += int(count)


def _split(
    ledger: _Ledger, tasks: NDArray[np.int64], fate: NDArray[np.uint8], repeated: Links, seed: int
) -> dict[str, int]:
    """Writes the split of each kept record into `fate`; returns how many groups there are and the largest.

    Records that were dropped as duplicates still tie together what they have in common with those that were kept.
    """
    texts, keys = np.concatenate(ledger.texts), np.concatenate(ledger.keys)
    grown = continued(texts, np.concatenate(ledger.openings), np.concatenate(ledger.beginnings))
    tied = connected_groups([texts, np.concatenate(ledger.groups), keys], [repeated, grown])
    kept = np.flatnonzero(fate != _DROPPED)
    groups = np.unique(tied[kept], return_inverse=True)[1]
    fate[kept] = assign_splits(groups, tasks[kept], keys[kept], seed)
    sizes = np.bincount(groups)
    return {"count": len(sizes), "largest": int(sizes.max())}


def _write(
    spool: BinaryIO,
    lengths: NDArray[np.int64],
    fate: NDArray[np.uint8],
    folder: Path,
    tell: Progress,
) -> dict[str, Any]:
    """Copies each kept line to its split, in the order of the input."""
    digests = [hashlib.sha256() for _ in SPLITS]
    spool.seek(0)
    piece = 8192  # records
    with ExitStack() as opened:
        files = [opened.enter_context((folder / f"{split}.jsonl").open("wb")) for split in SPLITS]
        for start in range(0, len(lengths), piece):
            block = spool.read(int(lengths[start : start + piece].sum()))
            lines = block.splitlines(keepends=True)
            sides = fate[start : start + piece].tolist()
            for number, file in enumerate(files):
                content = b"".join(
                    line for line, side in zip(lines, sides, strict=True) if side == number
                )
                file.write(content)
                digests[number].update(content)
            tell("writing", start, len(lengths))
    counts = np.bincount(fate, minlength=len(SPLITS))
    return {
        split: {
            "records": int(counts[number]),
            "bytes": (folder / f"{split}.jsonl").stat().st_size,
            "sha256": digests[number].hexdigest(),
        }
        for number, split in enumerate(SPLITS)
    }


def _fingerprint(source: str, size: int) -> dict[str, Any]:
    path = Path(source)
    if not path.is_file():
        return {"name": source}
    with path.open("rb") as file:
        return {
            "name": source,
            "bytes": size,
            "sha256": hashlib.file_digest(file, "sha256").hexdigest(),
        }


def _counts(
    ledger: _Ledger, tasks: NDArray[np.int64], fate: NDArray[np.uint8], names: Sequence[str]
) -> dict[str, Any]:
    by_task: dict[str, Any] = {}
    for number, task in enumerate(names):
        dropped = {reason: count for (of, reason), count in ledger.dropped.items() if of == task}
        sides = np.bincount(fate[tasks == number], minlength=_DROPPED + 1)
        kept = int(sides[: len(SPLITS)].sum())
        if kept or dropped:
            by_task[task] = {
                "read": kept + sum(dropped.values()),
                "dropped": dict(sorted(dropped.items())),
                "kept": kept,
                **{split: int(sides[place]) for place, split in enumerate(SPLITS)},
            }
    lost = sum(ledger.dropped.values())
    kept = sum(task["kept"] for task in by_task.values())
    return {
        "records": {"read": ledger.rows, "bad": ledger.bad, "dropped": lost, "kept": kept},
        "bad_records": [str(bad) for bad in ledger.bad_places],
        "examples_of_dropped": {
            f"{task}: {reason}": at for (task, reason), at in ledger.examples.items()
        },
        "tasks": by_task,
    }
