"""`--fresh`: the folder of a run that starts anew, and its mirror, are renamed; nothing is deleted."""

from __future__ import annotations

from contextlib import suppress
from pathlib import Path

from lexitrain.errors import RunError
from lexitrain.runs import Run


def move_aside(run: Run) -> None:
    """Rename the folder of a run, or of a run a task, that starts anew.

    Raises:
        RunError: some process trains it, or it is the folder of something else.
    """
    if run.is_empty():
        return
    inside = [Run(each) for each in sorted(run.path.iterdir()) if each.is_dir()]
    runs = [each for each in (run, *inside) if each.exists()]
    if not runs:
        raise RunError(
            "This folder holds something else than a run, and is left alone.",
            where=run.path,
            fix="Give another --run folder; one that does not exist yet is made.",
        )
    for each in runs:
        with each.lock():
            pass
    run.move_aside()


def move_mirror_aside(run: Run, folder: Path | None) -> None:
    """Rename the run's mirror in `folder` as well, else the new run would go on from it. Raises like `move_aside`."""
    if folder is None:
        return
    # A mirror that cannot be moved or reached is no reason to stop here: the run reports it when it writes to it.
    with suppress(OSError):
        move_aside(Run(folder / run.path.name))
