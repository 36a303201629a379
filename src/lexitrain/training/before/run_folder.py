"""What the folder of a run may be: nothing yet, or a run."""

from __future__ import annotations

from typing import TYPE_CHECKING

from lexitrain.errors import RunError

if TYPE_CHECKING:
    from lexitrain.runs import Run

_OTHER_FOLDER = "Give another --run folder; one that does not exist yet is made."


def require_no_file(run: Run) -> None:
    """Raises RunError where the run's path is a file."""
    if run.path.exists() and not run.path.is_dir():
        raise RunError(
            "This is a file, not the folder of a run.", where=run.path, fix=_OTHER_FOLDER
        )


def require_run_folder(run: Run) -> None:
    """Raises RunError where the run's path is a file, or a folder that holds something else."""
    require_no_file(run)
    if not run.exists() and not run.is_empty():
        raise RunError(
            "This folder holds something else than a run.", where=run.path, fix=_OTHER_FOLDER
        )
