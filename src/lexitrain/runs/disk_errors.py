"""What it means for a run that its folder cannot be written: a message with what is safe and what to do, no traceback.

While a run trains, every such error ends it with exit code 4: the checkpoints are whole, and the same command goes on
once there is room, permission or the mount again. Before it trains, a folder that may not be written is a mistake in
the command, with exit code 2.
"""

from __future__ import annotations

from collections.abc import Generator
from contextlib import contextmanager
from pathlib import Path

from lexitrain.errors import InputError, LexiTrainError, RunError, Stopped
from lexitrain.runs.folder import Run
from lexitrain.storage import AWAY, FORBIDDEN, FULL, NO_SUCH_PLACE


@contextmanager
def storage_errors(run: Run, *, training: bool = False) -> Generator[None]:
    """Say what a full disk, a read-only folder or a lost mount means for the run; other errors pass.

    Args:
        run: the run whose folder is written.
        training: True while steps are done.

    Raises:
        Stopped: the disk is full, or the folder was lost while training.
        RunError: the folder may not be written.
        InputError: something else may not be read or written.
    """
    try:
        yield
    except OSError as error:
        explained = _explained(run, error, training)
        if explained is None:
            raise
        raise explained from error


def _explained(run: Run, error: OSError, training: bool) -> LexiTrainError | None:
    where = Path(str(error.filename)) if error.filename else run.path
    inside = where == run.path or run.path in where.parents
    reason = error.strerror or str(error)
    if error.errno in FULL:
        return Stopped(
            f"The disk is full. {_saved(run)} Nothing half-written is left.",
            where=run.path,
            fix="Make room, then run the same command again: it goes on from there.",
        )
    if error.errno in FORBIDDEN and not inside:
        return InputError(f"This cannot be used: {reason}.", where=where)
    if training and inside and error.errno in FORBIDDEN | AWAY:
        return Stopped(
            f"The run's folder can no longer be written ({reason}). {_saved(run)}",
            where=where,
            fix="Once it can be written again (permission, mount, connection), the same command goes on from there.",
        )
    if error.errno in FORBIDDEN | NO_SUCH_PLACE:
        return RunError(
            f"The run's folder cannot be written ({reason}).",
            where=run.path,
            fix="Give a --run folder that you may write to.",
        )
    return None


def _saved(run: Run) -> str:
    """What is safe, as far as the folder can still be read."""
    try:
        steps = run.checkpoint_steps()
    except OSError:
        return "What was saved cannot be seen now."
    return f"The checkpoint of step {steps[-1]} is intact." if steps else "Nothing is saved yet."
