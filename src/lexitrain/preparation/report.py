"""What `report.json` says of how a prepared folder came about: what went in, and what was dropped and why."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from lexitrain.preparation.kept_records import MOST_KEYS
from lexitrain.preparation.record_table import RecordTable
from lexitrain.preparation.scan import Scan, Scanner
from lexitrain.records import SPLITS
from lexitrain.storage import file_sha256


def fingerprint(source: str, size: int) -> dict[str, Any]:
    """A source as it was read: its name, and of a file its size in bytes and SHA-256."""
    path = Path(source)
    if not path.is_file():
        return {"name": source}
    return {"name": source, "bytes": size, "sha256": file_sha256(path)}


def counts_of(
    scan: Scan, tasks: NDArray[np.int64], sides: NDArray[np.uint8], names: Sequence[str]
) -> dict[str, Any]:
    """How many records were read, bad, dropped and kept, in all and for each task, with the reasons.

    Args:
        tasks: [kept by the scan] the task of each record, as a place in `names`.
        sides: [kept by the scan] its split, as a place in `SPLITS`; anything above for one that repeats another.
    """
    losses = scan.losses
    by_task: dict[str, Any] = {}
    for number, task in enumerate(names):
        dropped = {reason: count for (of, reason), count in losses.counts.items() if of == task}
        in_split = np.bincount(sides[tasks == number], minlength=len(SPLITS))[: len(SPLITS)]
        kept = int(in_split.sum())
        if kept or dropped:
            by_task[task] = {
                "read": kept + sum(dropped.values()),
                "dropped": dict(sorted(dropped.items())),
                "kept": kept,
                **{split: int(count) for split, count in zip(SPLITS, in_split, strict=True)},
            }
    kept = sum(task["kept"] for task in by_task.values())
    return {
        "records": {
            "read": scan.rows,
            "bad": scan.bad,
            "dropped": losses.counts.total(),
            "kept": kept,
        },
        "bad_records": [str(bad) for bad in scan.bad_places],
        "examples_of_dropped": {
            f"{task}: {reason}": at for (task, reason), at in losses.examples.items()
        },
        "tasks": by_task,
    }


def lacking(table: RecordTable, sides: NDArray[np.uint8], scanner: Scanner) -> dict[str, Any]:
    """Task -> accompanying key -> how many kept records leave it out, so that its empty value is taught."""
    found: dict[str, Any] = {}
    kept = sides < len(SPLITS)
    for number, task in enumerate(scanner.names):
        bits = table.rows["lacking"][kept & (table.rows["task"] == number)]
        counts = {
            key: int(np.count_nonzero(bits >> place & 1))
            for place, key in enumerate(list(scanner.tasks[task].schema["properties"])[:MOST_KEYS])
        }
        if any(counts.values()):
            found[task] = {key: count for key, count in counts.items() if count}
    return found


def unlearnt(scan: Scan) -> dict[str, dict[str, int]]:
    """Task -> key of an output that no schema knows -> how many records, repetitions included, have it."""
    found: dict[str, dict[str, int]] = {}
    for (task, key), count in sorted(
        scan.unlearnt.items(), key=lambda each: (each[0][0], -each[1])
    ):
        found.setdefault(task, {})[key] = count
    return found
