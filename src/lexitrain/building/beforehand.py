"""What is refused before anything is built: hours of training are no way to learn of a wrong word in a command."""

from __future__ import annotations

from collections.abc import Generator, Sequence
from contextlib import contextmanager
from importlib.util import find_spec
from pathlib import Path
from typing import Any

from lexitrain.building.choices import Choices, own_recipe
from lexitrain.errors import InputError
from lexitrain.recipe import NO_MIRROR, Recipe
from lexitrain.runs import Run
from lexitrain.storage import (
    Lock,
    disk_errors,
    file_sha256,
    launcher_number,
    make_folder,
    user_path,
)
from lexitrain.watching import require_trackers, with_trackers


def require_possible(choices: Choices) -> Recipe:
    """The recipe that was given, where the choices are ones that can be built. Writes nothing.

    Raises:
        RecipeError: as of `load_recipe`.
        InputError: no records; a folder that is a file, or lies among the records; a form, a quantization or a limit of
            the export that is none; an adapter for each task; a tracker that is none; no place for the mirror.
        MissingExtra: a package of the export or of a tracker is not installed.
    """
    from lexitrain.exporting import require_exportable

    _require_one_process(choices)
    if not choices.records:
        raise InputError("Give records to build from.", where="RECORDS")
    _require_folder(choices)
    require_exportable(choices.to, choices.quantize, choices.max_mb, choices.margin, verified=True)
    own = own_recipe(choices)
    require_trackers(with_trackers(own, None, choices.trackers))
    _require_one_adapter(own)
    _require_mirror(choices, own)
    return own


@contextmanager
def one_build(choices: Choices) -> Generator[None]:
    """The build's folder, made where it is not there, and locked: two builds would write the same files.

    Raises:
        InputError: it cannot be made.
        RunInUse: another build is at work in it.
        Stopped: the disk is full.
    """
    folder = choices.folder
    made = not folder.exists()
    try:
        with disk_errors(folder):
            make_folder(folder)
            lock = Lock(folder, doing=("building in this folder", "--out"))
            lock.__enter__()
    except FileNotFoundError as error:  # /proc, or a drive that has gone
        raise InputError(
            f"This folder cannot be made: {error.strerror}.",
            where=folder,
            fix="Choose another --out.",
        ) from None
    try:
        yield
    finally:
        lock.path.unlink(missing_ok=True)  # while it is held: afterwards it may be another build's
        lock.__exit__()
        if made and not any(folder.iterdir()):
            folder.rmdir()  # refused before anything was made


def files_of(named: Sequence[str]) -> list[list[Any]]:
    """Name, size and content of each file of records; what is no file here (a Hub id) by its name.

    Raises:
        InputError: a file may not be read.
    """
    found: list[list[Any]] = []
    for source in named:
        path = user_path(source)
        with disk_errors(path):
            inside = (
                sorted(each for each in path.rglob("*") if each.is_file())
                if path.is_dir()
                else [path]
            )
            for file in inside:
                known = [file.stat().st_size, file_sha256(file)] if file.is_file() else []
                name = file.relative_to(path).as_posix() if path.is_dir() else file.name
                found.append([source, name, *known])
    return found


def code_of(custom_tasks: Sequence[str]) -> list[list[str]]:
    """The user's own tasks with the content of the file that each is written in."""
    return [[source, *map(file_sha256, _written_in(source))] for source in custom_tasks]


def _written_in(source: str) -> list[Path]:
    """The file of a task; none where it cannot be found, which is said where the task is loaded."""
    if source.endswith(".py"):
        file = user_path(source)
    else:
        try:
            spec = find_spec(source.partition(":")[0])
        except (ImportError, ValueError):
            return []
        file = Path(spec.origin or "") if spec else Path()
    return [file] if file.is_file() else []


def _require_one_process(choices: Choices) -> None:
    """Nothing, unless a launcher has started several: each would prepare, score and write the same files."""
    count = launcher_number("WORLD_SIZE", 1)
    if count == 1:
        return
    train = (
        f"torchrun --nproc-per-node {count} -m lexitrain -- train --recipe {choices.chosen_recipe} "
        f"--data {choices.data} --run {choices.run}"
    )
    raise InputError(
        f"A build is one process, and a launcher has started {count}.",
        where=choices.folder,
        fix=f"Give it without the launcher. Several processes can share its training once it is planned: {train}, "
        "and then the build again.",
    )


def _require_one_adapter(own: Recipe) -> None:
    if own.data.adapters == "per_task":
        raise InputError(
            "A build exports one model, and with an adapter for each task there would be several.",
            where="data.adapters=per_task",
            fix="Build with --set data.adapters=one. Or train with `lexitrain train`, and export one adapter after the "
            "other: `lexitrain export RUN --task TASK`.",
        )


def _require_mirror(choices: Choices, own: Recipe) -> None:
    from lexitrain.training import require_place

    given = choices.mirror is not None and str(choices.mirror).strip().casefold() != NO_MIRROR
    if given or (choices.mirror is None and own.checkpoints.mirror_folder is not None):
        mirror = (
            user_path(choices.mirror).absolute()
            if choices.mirror
            else own.checkpoints.mirror_folder
        )
        require_place(Run(choices.run), mirror)


def _require_folder(choices: Choices) -> None:
    out = choices.folder.absolute()
    for place in (out, *out.parents):
        if place.exists() and not place.is_dir():
            raise InputError(
                "This is a file, and everything that is made needs a folder.",
                where=place,
                fix="Choose another --out.",
            )
    for source in choices.records:
        records = user_path(source).absolute()
        if records.is_dir() and out.resolve().is_relative_to(records.resolve()):
            raise InputError(
                "What is made would lie among the records, and be read as records by the next call.",
                where=choices.folder,
                fix=f"Choose an --out that is not in {source}, or name the files of records themselves.",
            )
