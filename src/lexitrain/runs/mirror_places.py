"""Where a mirror can be, where in it the prepared data lie, and whether a run lies in one itself."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from lexitrain.runs.folder import Run

_KEPT = "prepared-data"
_KEY_LENGTH = 16

DataFacts = Mapping[str, Mapping[str, Any]]
"""Name of a data file -> its facts, the SHA-256 among them."""


def kept_folder(mirror: Path, files: DataFacts) -> Path:
    """The folder for data with these facts; runs on the same data share it."""
    key = hashlib.sha256(json.dumps(files, sort_keys=True).encode()).hexdigest()
    return mirror / _KEPT / key[:_KEY_LENGTH]


def has_place(mirror: Path) -> bool:
    """Whether the mirror is there, or the folder in which it is to be made: a drive that is not mounted has neither."""
    return mirror.is_dir() or mirror.parent.is_dir()


def lies_apart(run: Run, mirror: Path) -> bool:
    """Whether the copy of the run that the mirror would hold is neither the run, nor in its folder, nor around it."""
    here, there = run.path.resolve(), (mirror / run.path.name).resolve()
    return not (here.is_relative_to(there) or there.is_relative_to(here))


def lies_in_mirror(run: Run) -> bool:
    """Whether the run is a copy in a mirror, wherever that is now: its data are kept beside it."""
    return run.data_file.is_file() and kept_folder(run.path.parent, run.read_data().files).is_dir()
