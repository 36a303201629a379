"""Where a mirror keeps the prepared data of the runs that lie in it."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

_KEPT = "prepared-data"
_KEY_LENGTH = 16

DataFacts = Mapping[str, Mapping[str, Any]]
"""Name of a data file -> its facts, the SHA-256 among them."""


def kept_folder(mirror: Path, files: DataFacts) -> Path:
    """The folder for data with these facts; runs on the same data share it."""
    key = hashlib.sha256(json.dumps(files, sort_keys=True).encode()).hexdigest()
    return mirror / _KEPT / key[:_KEY_LENGTH]
