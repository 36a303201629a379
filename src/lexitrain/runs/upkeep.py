"""Upkeep of a run's checkpoints: is every byte of them what was written, and which of them may go."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from lexitrain.runs.checkpoints import BrokenCheckpoint, Checkpoints, read_checkpoint
from lexitrain.runs.folder import Run


def verify_run(folder: str | Path) -> dict[str, str | None]:
    """Read every checkpoint of a run and compare it with its hashes.

    Returns:
        Name of each checkpoint and best adapter, checkpoints from the oldest on -> why it is broken; None: it is whole.

    Raises:
        RunError: there is no run.
    """
    checkpoints = Checkpoints(_existing(folder).checkpoints, keep=1)
    found: dict[str, str | None] = {}
    for path in (*reversed(checkpoints.steps()), *checkpoints.bests()):
        try:
            read_checkpoint(path)
            found[path.name] = None
        except BrokenCheckpoint as error:
            found[path.name] = str(error)
    return found


@dataclass(frozen=True, slots=True)
class Pruned:
    """What pruning a run did.

    Attributes:
        deleted, kept: names of checkpoints and best adapters.
        freed_bytes: of disk.
    """

    deleted: list[str]
    kept: list[str]
    freed_bytes: int


def prune_run(folder: str | Path, keep: int) -> Pruned:
    """Delete all but the newest `keep` intact checkpoints and the best adapter that the newest knows.

    Raises:
        RunError: there is no run.
        RunInUse: it is being trained.
    """
    run = _existing(folder)
    with run.lock():
        checkpoints = Checkpoints(run.checkpoints, keep)
        before = checkpoints.size()
        deleted = [path.name for path in checkpoints.prune()]
        left = [path.name for path in (*reversed(checkpoints.steps()), *checkpoints.bests())]
        return Pruned(deleted, left, before - checkpoints.size())


def _existing(folder: str | Path) -> Run:
    """The run in a folder. Raises RunError where there is none."""
    run = Run(folder)
    run.read_recipe()
    return run
