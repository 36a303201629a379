"""How the folders of a run's checkpoints are called.

Below `checkpoints/` lie `step-000150/`, what is needed to go on from step 150, and `best-000150/`, the adapter of step
150 that had the best validation loss then. A folder with a MANIFEST.json is complete.
"""

from __future__ import annotations

from pathlib import Path

MANIFEST = "MANIFEST.json"

_STEP = "step-"
_BEST = "best-"


def checkpoint_name(step: int) -> str:
    """Name of the checkpoint after `step` optimizer steps."""
    return f"{_STEP}{step:06d}"


def best_name(step: int) -> str:
    """Name of the best adapter, where it is that of `step`."""
    return f"{_BEST}{step:06d}"


def is_best(folder: Path) -> bool:
    """True for the folder of a best adapter, False for that of a checkpoint."""
    return folder.name.startswith(_BEST)


def step_of(folder: Path) -> int:
    """The optimizer steps done, by the folder's name."""
    return int(folder.name.rpartition("-")[2])


def checkpoint_folders(folder: Path) -> list[Path]:
    """The checkpoints in `folder`, the newest first. Nothing is verified; none where there is no such folder."""
    return _folders(folder, _STEP)


def best_folders(folder: Path) -> list[Path]:
    """The best adapters in `folder`, the newest first. Nothing is verified; none where there is no such folder."""
    return _folders(folder, _BEST)


def _folders(folder: Path, prefix: str) -> list[Path]:
    if not folder.is_dir():
        return []
    found = [
        each
        for each in folder.iterdir()
        if each.name.startswith(prefix) and each.name.removeprefix(prefix).isdecimal()
    ]
    return sorted(found, key=step_of, reverse=True)
