"""A run whose own folder is gone or behind goes on from its mirror, as a new machine needs.

The newest valid checkpoint of the two counts; of two at the same step that of the mirror, where the user accepted
changes that the run's folder knows nothing of. Everything that belongs to the checkpoint comes with it, the recipe
included. What the mirror holds is copied into the run's folder in the order in which a crash in between does no harm:
the checkpoint comes last, and as long as it is not there the next call copies again. The price is one read and one
write of a checkpoint.
"""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from lexitrain.errors import RunError
from lexitrain.models import WEIGHTS_FILE
from lexitrain.runs import Checkpoint, Checkpoints, Run, has_place, lies_apart
from lexitrain.storage import Lock, write_file
from lexitrain.training.recovery.mirror import copy_folder, require_same_run

if TYPE_CHECKING:
    from lexitrain.recipe import Recipe
    from lexitrain.training.event_log import Observer


def require_place(run: Run, folder: Path | None) -> None:
    """Nothing where the mirror can be: its folder is there, or the one above it, in which it is made.

    A drive that is not mounted has neither. What is written in its place lies on this machine's own disk, and is
    hidden, or in the way, when the drive is back. A copy that lies in the run's own folder goes with it.

    Args:
        run: of which copies are made.
        folder: of the mirror; None: none is asked for.

    Raises:
        RunError: there is no such place, or it is that of the run.
    """
    if folder is None:
        return
    if not lies_apart(run, folder):
        raise RunError(
            f"The copies would be made in {folder / run.path.name}, and that is the run's own place: what loses the "
            "run would lose them too.",
            where=folder,
            fix="Give a folder in another place, such as a mounted drive, with --mirror DIR; or --mirror none for no "
            "copies.",
        )
    if not has_place(folder):
        raise RunError(
            f"The mirror cannot be made: there is no {folder.parent}.",
            where=folder,
            fix="Mount the drive, or make that folder; or give another place with --mirror DIR, or --mirror none for "
            "no copies.",
        )


def bring_back(run: Run, recipe: Recipe, observer: Observer) -> None:
    """Copy the mirror's state of the run into the run's folder, where the mirror's is the newer one.

    Raises:
        RunError: the mirror holds another run of this name, or another machine trains this one.
        OSError: the run's folder cannot be written.
    """
    folder = recipe.checkpoints.mirror_folder
    if folder is None or not (folder / run.path.name).is_dir():
        return
    observer.stage("comparing with the mirror")
    with run.lock():
        mirror = Run(folder / run.path.name)
        step = _copy_back(run, mirror, recipe.checkpoints.keep)
        if step is not None and not (mirror.adapter / WEIGHTS_FILE).is_file():
            observer.event(run.append_event("rescued", step, mirror=str(mirror.path)))


def _copy_back(run: Run, mirror: Run, keep: int) -> int | None:
    """The step of the checkpoint that was brought back; None: the mirror has nothing newer, or cannot be reached."""
    try:
        if not mirror.exists():
            return None
        require_same_run(run, mirror)
        with Lock(mirror.path):
            there = Checkpoints(mirror.checkpoints, keep)
            newest = there.newest_valid(_ignore)
            best = there.best(_ignore, None if newest is None else newest.step)
    except OSError:
        return None  # cannot be reached: the run reports that when it writes to the mirror
    step = 0 if newest is None else newest.step
    finished = (mirror.adapter / WEIGHTS_FILE).is_file()
    complete = not finished or (run.adapter / WEIGHTS_FILE).is_file()
    if run.exists() and complete:
        here = _step_here(run, keep, below=step)
        if here > step or (here == step and not _unknown_changes(run, mirror)):
            return None
    _copy_files(mirror, run)
    checkpoints = Checkpoints(run.checkpoints, keep)
    if finished:
        copy_folder(mirror.adapter, run.adapter)
    if best is not None:
        checkpoints.save_best(best.step, best.files, best.note)
    if newest is not None:
        checkpoints.save(step, newest.files)
    return step


def _step_here(run: Run, keep: int, *, below: int) -> int:
    """Step of the newest valid checkpoint of the run's own folder; not looked at when none can be that new."""
    if max(run.checkpoint_steps(), default=0) < below:
        return 0
    found: Checkpoint | None = Checkpoints(run.checkpoints, keep).newest_valid(_ignore)
    return 0 if found is None else found.step


def _unknown_changes(run: Run, mirror: Run) -> bool:
    """Whether the user accepted changes in the mirrored run that the run's own folder has not seen."""
    known, there = (
        {each.time for each in one.events() if each.event == "accepted"} for one in (run, mirror)
    )
    return known < there


def _copy_files(mirror: Run, run: Run) -> None:
    """The recipe comes last: it makes the folder a run, and a run without its journals would begin anew."""
    if mirror.tasks.is_dir():
        copy_folder(mirror.tasks, run.tasks)
    for there, here in (
        (mirror.events_file, run.events_file),
        (mirror.metrics_file, run.metrics_file),
        (mirror.data_file, run.data_file),
        (mirror.environment_file, run.environment_file),
        (mirror.plan_file, run.plan_file),
        (mirror.recipe_file, run.recipe_file),
    ):
        if not there.is_file():
            continue
        content, before = there.read_bytes(), here.read_bytes() if here.is_file() else b""
        # A journal of this folder may go on from the mirror's.
        if content != before and not (here.suffix == ".jsonl" and before.startswith(content)):
            write_file(here, content)


def _ignore(path: Path, reason: str) -> None:
    """Report nothing: a broken checkpoint of the mirror is no loss while an older one is whole."""
