"""Raw records in, a clean split out: what `lexitrain data prepare` does.

Two passes. The first scans everything (parse, normalize, check, hash; in worker processes where that pays), writes
tidy lines to an unnamed temporary file on the output's disk, and keeps about 75 bytes of numbers a record.
Duplicates, groups and splits are decided on those numbers. The second pass copies each kept line to its split.
Nothing appears under the output's name before all of it is complete, and the same input with the same seed gives the
same bytes, whatever the number of workers.

Costs about 100 microseconds of processor time a record, and disk space for the data twice while it runs.
"""

from __future__ import annotations

import hashlib
import json
import os
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack
from itertools import islice
from pathlib import Path
from tempfile import TemporaryFile
from typing import Any, BinaryIO

import numpy as np
from numpy.typing import NDArray

from lexitrain.errors import DataError, number_of
from lexitrain.preparation.advice.all_advice import advice
from lexitrain.preparation.advice.seen import Seen
from lexitrain.preparation.dropped_records import ANOTHER_ANSWER
from lexitrain.preparation.duplicates import exact_duplicates, mixed, near_duplicates
from lexitrain.preparation.groups import Links, connected_groups, continued, sharing_excerpts
from lexitrain.preparation.maps.syntax import RowMap
from lexitrain.preparation.own_splits import DROPPED, OwnSplits
from lexitrain.preparation.record_table import RecordTable
from lexitrain.preparation.report import counts_of, fingerprint, lacking, unlearnt
from lexitrain.preparation.scan import Rules, Scan, ScannedChunk, Scanner
from lexitrain.preparation.workers import ScanPool, workers_for
from lexitrain.records import (
    REPORT,
    SPLITS,
    Chunk,
    chunks,
    expanded,
    prepared_record,
    source_bytes,
    split_file,
)
from lexitrain.storage import folder_at_once, user_path

Progress = Callable[[str, int, int], None]
"""Called with what is being done, how much of it is done, and how much there is (0: unknown)."""

_REASONS_SHOWN = 5  # reasons against bad records that an error names
_PLACES_SHOWN = 3  # places that it names for each
_PIECE = 8192  # records copied at once


def prepare(
    sources: Sequence[str],
    out: str | Path,
    *,
    task: str | None = None,
    custom_tasks: Sequence[str] = (),
    minimum_characters: int = 1,
    seed: int = 42,
    max_bad: float = 0.01,
    max_dropped: float = 0.5,
    maps: Sequence[RowMap] = (),
    derive_errors: bool = False,
    own_splits: bool = True,
    workers: int | None = None,
    progress: Progress | None = None,
) -> dict[str, Any]:
    """Clean, deduplicate and split `sources` into the folder `out`; returns what report.json says.

    Args:
        sources: files, folders of files, or Hub ids, in order; where records repeat, the first one is kept.
        task: the task of rows that name none.
        custom_tasks: `path.py` or `module:attribute` of the user's own tasks.
        minimum_characters: letters and digits an input must have.
        seed: decides the split.
        max_bad: share of rows that may be bad before everything stops.
        max_dropped: share of records, of all and of each task, that may be dropped before everything stops;
            duplicates, and what `minimum_characters` drops, do not count.
        maps: for rows with columns of their own: `input=learner_text,output.level=cefr`, or the same as a mapping.
            Each map makes one record of every row.
        derive_errors: give a grammar record without `errors` those of its token edits.
        own_splits: use the sources' own splits (`train`, `validation`, `test`) where they name any; False splits anew.
        workers: processes that scan; None chooses by the input's size, 0 works in this process.

    Raises:
        TaskError: a task is unknown or cannot be loaded.
        InputError: a map cannot be understood.
        DataError: a source cannot be read, a map names a column that is nowhere, too many records are bad or dropped,
            none is left, or they are a part of `out`, whose rest would be lost; nothing is written.
        Stopped: the disk is full; nothing is left behind.
    """
    out = user_path(out)
    sources = [str(user_path(source)) if source.startswith("~") else source for source in sources]
    tell = progress or _tell_nobody
    rules = Rules(task, tuple(custom_tasks), minimum_characters, tuple(maps), derive_errors)
    scanner = Scanner(rules)
    files, not_read = expanded(sources, out)
    _refuse_part_of_out(files, out)
    streams = [chunks(source) for source in files]  # a missing one is reported before any work
    inputs = [(source, source_bytes(source)) for source in files]
    total = sum(size for _, size in inputs)
    count = workers_for(total) if workers is None else workers
    with folder_at_once(out, REPORT) as folder:
        with TemporaryFile(dir=folder) as spool:
            scan = Scan()
            with ScanPool(scanner, count) as pool:
                for done, chunk in _with_progress(pool, streams, inputs):
                    scan.add(chunk)
                    spool.write(chunk.lines)
                    tell("reading", done, total)
            _stop_if_bad(scan, max_bad)
            spool.flush()
            tell("finding duplicates", 0, 0)
            table = scan.table()
            _stop_if_too_few(scan, table, scanner, max_dropped)
            own = OwnSplits.of(table.rows["own"], wanted=own_splits)
            sides, repeated = _kept_once(table, scan, scanner, spool, own)
            tell("splitting", 0, 0)
            groups = _split(table, scan, scanner, sides, repeated, own, seed)
            seen = Seen(scan, scanner, table, sides, repeated)
            found = advice(seen, own.to_json(), _words(table, scanner, spool))
            written = _write(spool, table, sides, folder, tell)
        report = {
            "seed": seed,
            "max_bad": max_bad,
            "max_dropped": max_dropped,
            "minimum_characters": minimum_characters,
            "maps": [each if isinstance(each, str) else dict(each) for each in maps],
            "derive_errors": derive_errors,
            "inputs": [fingerprint(source, size) for source, size in inputs],
            "not_read": not_read,
            **counts_of(scan, table.rows["task"], sides, scanner.names),
            "lacking": lacking(table, sides, scanner),
            "unlearnt": unlearnt(scan),
            "own_splits": own.to_json(),
            "groups": groups,
            "splits": written,
            **found,
        }
        (folder / REPORT).write_text(
            json.dumps(report, indent=2, ensure_ascii=False) + "\n", encoding="utf-8"
        )
    return report


def _refuse_part_of_out(files: Sequence[str], out: Path) -> None:
    """All of a prepared folder may be prepared anew in place; from a part of it the rest would be lost."""
    named = {Path(file).resolve() for file in files}
    here = [file.resolve() for split in SPLITS if (file := split_file(out, split)).is_file()]
    left = [file for file in here if file not in named and file.stat().st_size]
    if left and named & set(here):
        raise DataError(
            f"Only a part of this folder is read, and all of it would be replaced: {left[0].name} would be lost.",
            where=out,
            fix="Choose another --out, or name all of its files.",
        )


def _tell_nobody(_stage: str, _done: int, _total: int) -> None:
    pass


def _with_progress(
    pool: ScanPool, streams: Sequence[Iterator[Chunk]], inputs: Sequence[tuple[str, int]]
) -> Iterator[tuple[int, ScannedChunk]]:
    """`(bytes of all sources that are scanned, what the chunk holds)`."""
    before = 0
    for stream, (_, size) in zip(streams, inputs, strict=True):
        for chunk in pool.scanned(stream):
            yield before + chunk.size, chunk
        before += size


def _stop_if_bad(scan: Scan, max_bad: float) -> None:
    if scan.columns is not None:
        scan.columns.refuse_missing()
    if scan.bad > max_bad * scan.rows:
        raise DataError(
            f"{scan.bad:,} of {number_of(scan.rows, 'record')} {'is' if scan.rows == 1 else 'are'} bad, more "
            f"than --max-bad {max_bad:.3g}; "
            f"nothing was written. The first ones:\n{_first_bad(scan)}",
            fix="Mend them, name the right columns with --map input=COLUMN,output=COLUMN, or allow more with "
            "--max-bad.",
        )
    if not scan.kept:
        raise DataError(
            f"No record is left to train on: {_why_none(scan)}; nothing was written.",
            fix=scan.losses.remedy()
            if scan.losses.counts
            else "Bring records with an input and an output: docs/data.md shows every form.",
        )


def _first_bad(scan: Scan) -> str:
    """The first bad records: each reason once, with the first places where it holds."""
    places: dict[str, list[str]] = {}
    for bad in scan.bad_places:
        places.setdefault(bad.reason, []).append(bad.place)
    shown: list[str] = []
    for reason, where in islice(places.items(), _REASONS_SHOWN):
        also = f" (also {', '.join(where[1:_PLACES_SHOWN])})" if len(where) > 1 else ""
        shown.append(f"  {where[0]}: {reason}{also}")
    return "\n".join(shown)


def _why_none(scan: Scan) -> str:
    reasons = [f"{reason} ({count:,})" for (_, reason), count in scan.losses.counts.most_common(3)]
    if scan.bad:
        reasons.append(f"{scan.bad:,} are bad, the first ones:\n{_first_bad(scan)}\n ")
    return ", ".join(reasons) or "the input is empty"


def _stop_if_too_few(scan: Scan, table: RecordTable, scanner: Scanner, max_dropped: float) -> None:
    kept = np.bincount(table.rows["task"], minlength=len(scanner.names))
    scan.losses.refuse_too_many(dict(zip(scanner.names, kept.tolist(), strict=True)), max_dropped)


def _kept_once(
    table: RecordTable, scan: Scan, scanner: Scanner, spool: BinaryIO, own: OwnSplits
) -> tuple[NDArray[np.uint8], Links]:
    """Finds what repeats an earlier record, and counts it among the losses of the scan.

    Returns:
        For each record `DROPPED` where it repeats another, 0 otherwise; and the near duplicates, each with the record
        that it repeats.
    """
    tasks, answers = table.rows["task"], table.rows["answer"]
    sides = np.zeros(len(table.rows), np.uint8)
    order = own.precedence()  # of equal records the first in this order is kept
    first = np.empty(len(order), np.int64)
    first[order] = order[exact_duplicates(table.rows["key"][order])]
    repeats = first != np.arange(len(first))
    conflicts = repeats & (answers != answers[first])
    _count(scan, tasks[repeats & ~conflicts], scanner.names, "exact duplicate")
    _count(scan, tasks[conflicts], scanner.names, ANOTHER_ANSWER)
    sides[repeats] = DROPPED

    unique = np.flatnonzero(~repeats[table.long])
    unique = unique[np.argsort(own.rank()[table.long[unique]], kind="stable")]
    long, bands = table.long[unique], table.bands[unique]
    words = _words(table, scanner, spool)
    salt = mixed(tasks[long].astype(np.uint64) + np.uint64(1))  # equal texts of two tasks differ
    leaders = near_duplicates(bands + salt[:, None], lambda place: words(int(long[place])))
    repeating = leaders >= 0
    near = long[repeating]
    _count(scan, tasks[near], scanner.names, "near duplicate")
    sides[near] = DROPPED
    return sides, (near, long[leaders[repeating]])


def _words(table: RecordTable, scanner: Scanner, spool: BinaryIO) -> Callable[[int], list[str]]:
    """Reads the learner's words of a record from the spool, by its place in the table."""
    lengths = table.rows["length"]
    starts = np.cumsum(lengths, dtype=np.int64) - lengths

    def words_of(record: int) -> list[str]:
        # One call, past the file's buffer: that is why the spool was flushed.
        line = os.pread(spool.fileno(), int(lengths[record]), int(starts[record]))
        return scanner.learner_words(prepared_record(json.loads(line)))

    return words_of


def _count(scan: Scan, tasks: NDArray[np.int64], names: Sequence[str], reason: str) -> None:
    for task, count in enumerate(np.bincount(tasks, minlength=len(names))):
        scan.losses.add_repeated(names[task], reason, int(count))


def _split(
    table: RecordTable,
    scan: Scan,
    scanner: Scanner,
    sides: NDArray[np.uint8],
    repeated: Links,
    own: OwnSplits,
    seed: int,
) -> dict[str, int]:
    """Writes the split of each kept record into `sides`; returns how many groups there are and the largest.

    Records that were dropped as duplicates still tie together what they have in common with those that were kept.
    """
    rows = table.rows
    grown = continued(rows["text"], table.beginnings, rows["beginnings"])
    shared = sharing_excerpts(rows["text"], table.excerpts, rows["excerpts"])
    keys = [rows["text"], rows["group"], rows["key"], rows["row"]]
    tied = connected_groups(keys, [repeated, grown, shared])
    for leak in own.leaks(tied):
        lost = leak.records[sides[leak.records] != DROPPED]
        _count(scan, rows["task"][lost], scanner.names, leak.reason)
        sides[lost] = DROPPED
    kept = np.flatnonzero(sides != DROPPED)
    groups = np.unique(tied[kept], return_inverse=True)[1]
    sides[kept] = own.assigned(kept, groups, rows["task"][kept], rows["key"][kept], seed)
    sizes = np.bincount(groups)
    return {"count": len(sizes), "largest": int(sizes.max())}


def _write(
    spool: BinaryIO,
    table: RecordTable,
    sides: NDArray[np.uint8],
    folder: Path,
    tell: Progress,
) -> dict[str, Any]:
    """Copies each kept line to its split, in the order of the input."""
    lengths = table.rows["length"]
    digests = [hashlib.sha256() for _ in SPLITS]
    spool.seek(0)
    with ExitStack() as opened:
        files = [opened.enter_context(split_file(folder, split).open("wb")) for split in SPLITS]
        for start in range(0, len(lengths), _PIECE):
            block = spool.read(int(lengths[start : start + _PIECE].sum()))
            lines = block.splitlines(keepends=True)
            chosen = sides[start : start + _PIECE].tolist()
            for number, file in enumerate(files):
                content = b"".join(
                    line for line, side in zip(lines, chosen, strict=True) if side == number
                )
                file.write(content)
                digests[number].update(content)
            tell("writing", start, len(lengths))
    counts = np.bincount(sides, minlength=len(SPLITS))
    return {
        split: {
            "records": int(counts[number]),
            "bytes": split_file(folder, split).stat().st_size,
            "sha256": digests[number].hexdigest(),
        }
        for number, split in enumerate(SPLITS)
    }
