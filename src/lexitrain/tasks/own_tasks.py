"""The tasks that a run names as its user's own: Python code, which is executed only where the user says so.

A run folder may come from anybody. What its recipe names (`data.custom_tasks`: files and modules) and the copies of
such files in its folder `tasks/` run with the rights of whoever loads them; so they are left alone unless the user
trusts the run or names the file himself. Tasks that are built in, and those of installed packages, need no trust.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from lexitrain.errors import TaskError
from lexitrain.storage import user_path

FOLDER = "tasks"
"""Where a run folder keeps copies of the files of its tasks."""


@dataclass(frozen=True, slots=True)
class OwnTasks:
    """What becomes of the tasks that a run names.

    Attributes:
        sources: `path.py` or `module:attribute`, to be executed.
        left_out: those that the run names and nobody trusts.
    """

    sources: tuple[str, ...]
    left_out: tuple[str, ...]

    @property
    def hint(self) -> str:
        """How to use what was left out; empty where nothing was."""
        if not self.left_out:
            return ""
        return (
            f"The run names tasks of its own ({', '.join(self.left_out)}), which are code and were not loaded. If you "
            "trust whoever made the run: --trust-tasks; or name your own copy: --custom-task FILE.py"
        )


def own_tasks(
    named: Sequence[str], folders: Sequence[Path], *, given: Sequence[str] = (), trust: bool = False
) -> OwnTasks:
    """Which of the tasks that a run names may be executed, and where they lie.

    A file is taken from the run's folder `tasks/` where a copy is, else from where the recipe says.

    Args:
        named: `data.custom_tasks` of the run's recipe.
        folders: the run, and others in which copies may be.
        given: `path.py` or `module:attribute` that the user names; each stands for what the run calls alike.
        trust: execute what the run names.

    Raises:
        TaskError: a file of a trusted run is nowhere.
    """
    copies = {
        path.name: path
        for folder in reversed(folders)
        for path in sorted((folder / FOLDER).glob("*.py"))
    }
    wanted = {_name(source): source for source in named}
    wanted |= {name: str(path) for name, path in copies.items()}
    for source in given:
        wanted.pop(_name(source), None)
    if not trust:
        return OwnTasks(tuple(given), tuple(wanted))
    found = [_found(source, folders) for source in wanted.values()]
    return OwnTasks((*found, *given), ())


def _name(source: str) -> str:
    """What two mentions of one task have in common: of a file its name, wherever it lies."""
    return Path(source).name if source.endswith(".py") else source


def _found(source: str, folders: Sequence[Path]) -> str:
    if not source.endswith(".py") or user_path(source).is_file():
        return source
    raise TaskError(
        "The file of a task that this run was trained with is neither there nor in the run's folder "
        f"{FOLDER}/.",
        where=source,
        fix=f"Copy it to {folders[0] / FOLDER / Path(source).name}, or name it: --custom-task FILE.py"
        if folders
        else "Name it: --custom-task FILE.py",
    )
