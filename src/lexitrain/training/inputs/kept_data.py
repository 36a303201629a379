"""The prepared data of a run, kept in its mirror: a new machine needs nothing else.

They lie in `MIRROR/prepared-data/<key>/`, as `data prepare` wrote them; the key follows from their hashes, so that runs
on the same data share one copy. Costs their size once, and the time of one copy, in the mirror's thread.
"""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from pathlib import Path

from lexitrain.errors import DataError, RunError
from lexitrain.records import REPORT, SPLITS, TRAIN, file_name, split_file
from lexitrain.runs import DataFacts, Run, kept_folder
from lexitrain.storage import file_sha256, folder_at_once


def keep_data(folder: Path, files: DataFacts, mirror: Path) -> None:
    """Copy a prepared data folder into a mirror, unless it is there.

    Args:
        folder: the data.
        files: `file_facts` of what the run is trained on.
        mirror: the folder that holds mirrored runs.

    Raises:
        RunError: a file is not what the run was started with any more, or its copy does not read back.
        InputError, Stopped: something cannot be read or written.
    """
    target = kept_folder(mirror, files)
    if split_file(target, TRAIN).is_file() or folder.resolve() == target.resolve():
        return
    with folder_at_once(target, file_name(TRAIN)) as partial:
        for name in (REPORT, *map(file_name, SPLITS)):
            if (folder / name).is_file():
                shutil.copyfile(folder / name, partial / name)
        for name, expected in files.items():
            copy = partial / name
            if not copy.is_file() or file_sha256(copy) != expected["sha256"]:
                raise RunError(
                    f"{name} is not what the run was started with, so no copy of the data is kept.",
                    where=folder,
                )


def runs_at_hand(run: Run, mirror: Path | None) -> Iterator[Run]:
    """The run, the runs of its tasks, and those that mirror them, as far as they exist."""
    for top in (run.path, *([] if mirror is None else [mirror / run.path.name])):
        if top.is_dir():
            yield from (each for each in map(Run, (top, *sorted(top.iterdir()))) if each.exists())


def find_data(given: Path | None, run: Run, mirror: Path | None) -> Path:
    """The folder of a run's data: the given one where it exists, else what the run knows of.

    Args:
        given: as the user gave it; None: the folder that the run was started with.
        run: the run.
        mirror: the folder that may hold its copy, and its data.

    Raises:
        DataError: none was given, and the run knows none that is there.
    """
    if given is not None and given.exists():
        return given  # what is wrong with it is said where it is read
    mirrors = [] if mirror is None else [mirror, mirror / run.path.name]
    for each in runs_at_hand(run, mirror):
        if not each.data_file.is_file():
            continue
        summary = each.read_data()
        places = [] if given is not None else [Path(summary.folder)]
        # The run may lie in a mirror itself.
        places += [kept_folder(root, summary.files) for root in (*mirrors, each.path.parent)]
        for place in places:
            if split_file(place, TRAIN).is_file():
                return place
    if given is not None:
        return given
    raise DataError(
        "The data that this run was started with are not there any more."
        if next(runs_at_hand(run, mirror), None)
        else "A new run needs data.",
        where="--data",
        fix="Give the folder that `lexitrain data prepare` wrote: --data DIR"
        + ("" if mirror else "; or, where the run was mirrored, that place too: --mirror DIR")
        + ".",
    )
