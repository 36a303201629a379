"""Generated records as a JSONL file, which appears whole or not at all."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Sequence
from pathlib import Path

from lexitrain.storage import file_at_once, user_path
from lexitrain.synthetic.records import generate
from lexitrain.tasks import find_task, registry

Progress = Callable[[str, int, int], None]

_RECORDS_BETWEEN_PROGRESS = 1000


def generate_file(
    out: str | Path,
    count: int,
    seed: int = 42,
    tasks: Sequence[str] | None = None,
    *,
    progress: Progress | None = None,
) -> dict[str, int]:
    """Write synthetic tutor records, one a line; returns how many there are of each task.

    Args:
        out: the file, replaced where it is there.
        count: how many records.
        seed: the same seed gives the same records.
        tasks: short names or names in the prompt; all five by default.
        progress: called with what is being done, records done, records in all.

    Raises:
        TaskError: there is no such task, or none that can be generated.
        InputError: the file cannot be written.
        Stopped: the disk is full; nothing is left behind.
    """
    known = registry()
    names = [find_task(name, known, where="--task").short for name in tasks or ()] or None
    counts: Counter[str] = Counter()
    with file_at_once(user_path(out)) as file:
        for number, record in enumerate(generate(count, seed, names)):
            file.write((record.to_json() + "\n").encode())
            counts[record.task] += 1
            if progress and number % _RECORDS_BETWEEN_PROGRESS == 0:
                progress("generating", number, count)
    return dict(counts)
