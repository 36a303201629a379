"""The files of the user's own tasks, copied into the run: `tasks/`.

The run goes on with them where the file that a command names is gone, as on a new machine. A copy is executed only in
the place of a file that the given recipe names: a run folder alone makes nobody execute what lies in it.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from pathlib import Path

from lexitrain.runs.folder import Run
from lexitrain.storage import user_path, write_folder

_SUFFIX = ".py"


def copy_names(custom: Sequence[str]) -> dict[str, str]:
    """Each file among the `data.custom_tasks` of a recipe -> name of its copy; two of one name are numbered."""
    names: dict[str, str] = {}
    for source in dict.fromkeys(custom):
        if not source.endswith(_SUFFIX):
            continue
        stem, number = Path(source).stem, 1
        name = f"{stem}{_SUFFIX}"
        while name in names.values():
            number += 1
            name = f"{stem}-{number}{_SUFFIX}"
        names[source] = name
    return names


def task_sources(custom: Sequence[str], runs: Iterable[Run]) -> tuple[str, ...]:
    """Where the tasks that a recipe names are read from: as they are named, or from a copy where the file is gone."""
    names, folders = copy_names(custom), [run.tasks for run in runs]
    return tuple(_found(source, names.get(source), folders) for source in custom)


def keep_tasks(run: Run, custom: Sequence[str], sources: Sequence[str]) -> None:
    """Copy the files of a recipe's own tasks into the run, where they are not there as they are.

    Args:
        run: the run.
        custom: the recipe's `data.custom_tasks`.
        sources: where each of them was read from.
    """
    read_from = dict(zip(custom, sources, strict=True))
    copies = {
        name: user_path(read_from[source]).read_bytes()
        for source, name in copy_names(custom).items()
    }
    there = {name: run.tasks / name for name in copies}
    if any(not p.is_file() or p.read_bytes() != copies[name] for name, p in there.items()):
        write_folder(run.tasks, copies)


def _found(source: str, name: str | None, folders: Sequence[Path]) -> str:
    if name is None or user_path(source).is_file():
        return source
    return next((str(each / name) for each in folders if (each / name).is_file()), source)
