"""Whether the run's places can hold what is written: its folder, the disk, what outlives the machine, the mirror."""

from __future__ import annotations

import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING

from lexitrain.diagnosis.check import Check, passed, refused, warned
from lexitrain.errors import InputError, RunError
from lexitrain.training import DiskRoom, require_disk_room, require_place, require_run_folder

if TYPE_CHECKING:
    from lexitrain.planning import Plan
    from lexitrain.recipe import Recipe
    from lexitrain.runs import Run
    from lexitrain.training import NotebookMachine

_LOST = "What is trained could not be saved."


def place_checks(recipe: Recipe, run: Run, notebook: NotebookMachine | None) -> Iterator[Check]:
    """The checks that need no plan.

    Args:
        recipe: with the mirror that is to be used.
        run: its folder.
        notebook: the notebook machine that this is, if it is one.
    """
    yield folder_check(run, per_task=recipe.data.adapters == "per_task")
    yield persistence_check(recipe, run, notebook)
    yield mirror_check(run, recipe.checkpoints.mirror_folder)


def folder_check(run: Run, *, per_task: bool = False) -> Check:
    """Whether the run's folder can be made and written, and holds nothing else.

    Args:
        run: its folder.
        per_task: whether it holds a run for each task.
    """
    try:
        if not (per_task and run.path.is_dir()):  # then each task has a folder of its own in it
            require_run_folder(run)
    except InputError as error:
        return refused("run folder", error, "`train` writes to a folder of its own.")
    place = _nearest(run.path)
    problem = _unwritable(place)
    if problem:
        error = RunError(
            f"Nothing can be written here: {problem}.",
            where=place,
            fix="Give another --run folder.",
        )
        return refused("run folder", error, _LOST)
    how = "holds this run" if run.exists() else "is made by `train`"
    return passed("run folder", f"{run.path} {how}.")


def persistence_check(recipe: Recipe, run: Run, notebook: NotebookMachine | None) -> Check:
    """Whether the run outlives a notebook machine."""
    if notebook is None:
        return passed(
            "persistence", "This is no notebook machine of Colab or Kaggle: what is written stays."
        )
    found = notebook.warning(run.path, recipe.checkpoints.mirror_folder)
    if found is None:
        return passed("persistence", f"The run outlives this {notebook.name} machine.")
    why = "A disconnect would cost all that was trained, not minutes."
    return warned("persistence", found["what"], why, found["fix"])


def mirror_check(run: Run, folder: Path | None) -> Check:
    """Whether the mirror can be reached and written, and is another place than the run's."""
    if folder is None:
        return passed("mirror", "No mirror is asked for.")
    try:
        require_place(run, folder)
    except InputError as error:
        return refused("mirror", error, "The copies that outlive the machine would not be made.")
    place = _nearest(folder)
    problem = _unwritable(place)
    if problem:
        return warned(
            "mirror",
            f"Nothing can be written in {place}: {problem}.",
            "The run goes on without copies, and tells so at each checkpoint.",
            "Mount the drive anew, make room there, or give another place with --mirror DIR.",
        )
    return passed("mirror", f"{folder} can be written.")


def disk_checks(plan: Plan, run: Run, mirror: Path | None) -> Iterator[Check]:
    """Whether checkpoints have room in the run's folder, and in its mirror.

    What an export writes is told too: merged weights of the base and a file made from them.
    """
    room = DiskRoom.of(run.path, plan.disk.each, plan.disk.most)
    yield disk_check(room, exported=2 * 2 * plan.base_parameters)
    if mirror is not None and _nearest(mirror) == mirror:
        there = DiskRoom.of(mirror, plan.disk.each, plan.disk.mirror + plan.disk.each)
        if there.free < there.most:
            yield warned(
                "mirror disk",
                f"Copies need up to {there.most / 1e6:,.1f} MB in {mirror}, and {there.free / 1e6:,.1f} MB are free.",
                "Copies fail until there is room, and the run goes on without them.",
                "Make room there (a drive's trash counts), or lower checkpoints.keep.",
            )


def disk_check(room: DiskRoom, *, exported: float) -> Check:
    """Whether one checkpoint has room, all that are kept, and an export.

    Args:
        room: of the run's folder.
        exported: bytes of merged weights and of the file that is made from them, in half precision.
    """
    try:
        require_disk_room(room)
    except InputError as error:
        return refused("disk", error, _LOST)
    found = (
        f"{room.free / 1e9:,.2f} GB are free in {room.place}; checkpoints take up to {room.most / 1e9:.3f} GB, "
        f"an export with a merged model up to {exported / 1e9:.2f} GB."
    )
    if room.free < room.most:
        why = (
            "The run stops with exit code 4 when the disk is full, and goes on when there is room."
        )
        return warned("disk", found, why, "Make room, or lower checkpoints.keep.")
    if room.free < room.most + exported:
        why = "It trains; an export in this place would find the disk full."
        return warned(
            "disk",
            found,
            why,
            "Make room before `lexitrain export`, or give its --out another disk.",
        )
    return passed("disk", found)


def _nearest(folder: Path) -> Path:
    """The folder, or the nearest one above it that is there."""
    return next((each for each in (folder, *folder.absolute().parents) if each.is_dir()), Path("/"))


def _unwritable(folder: Path) -> str:
    """Why no file can be made in a folder; empty where one can."""
    try:
        with tempfile.TemporaryFile(dir=folder) as probe:
            probe.write(b"\0" * 4096)
    except OSError as error:
        return error.strerror or str(error)
    return ""
