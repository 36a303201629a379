"""What of a build is done: `build.json`, a line of keys and results for each stage.

A stage's key is a hash of all that decides what it makes: what it was given, and the key of the stage before it. It is
written when the stage is done, at once, so that a kill in the middle leaves it undone; a stage with another key, or
whose files have gone, is done again. What a stage has half done is its own affair: training goes on from a checkpoint,
answers from their journal.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any, cast

from lexitrain.errors import InputError
from lexitrain.runs import BUILD_JOURNAL
from lexitrain.storage import write_json


class StageJournal:
    """The stages of one build.

    Args:
        folder: of the build.

    Raises:
        InputError: its build.json is of something else.
    """

    def __init__(self, folder: Path) -> None:
        self._path = folder / BUILD_JOURNAL
        self._stages: dict[str, dict[str, Any]] = {}
        if not self._path.is_file():
            return
        try:
            read: object = json.loads(self._path.read_text(encoding="utf-8"))
            stages: object = cast("dict[str, Any]", read)["stages"]
            if not isinstance(stages, dict):
                raise TypeError
            self._stages = dict(cast("dict[str, dict[str, Any]]", stages))
            if not all(isinstance(each, dict) for each in self._stages.values()):
                raise TypeError
        except (OSError, ValueError, KeyError, TypeError):
            raise InputError(
                "This is not the journal of a build.",
                where=self._path,
                fix="Choose another --out, or delete the file: finished stages are then checked anew.",
            ) from None

    def done(self, stage: str, key: str) -> Mapping[str, Any] | None:
        """What the stage made, where it was done with this key; else None."""
        found = self._stages.get(stage)
        if found is None or found.get("key") != key or not isinstance(found.get("made"), dict):
            return None
        return cast("dict[str, Any]", found["made"])

    def has(self, stage: str) -> bool:
        """Whether it was done, of whatever inputs."""
        return stage in self._stages

    def seconds(self, stage: str) -> float:
        """That the stage took; 0 where unknown."""
        found = self._stages.get(stage, {}).get("seconds", 0.0)
        return float(found) if isinstance(found, int | float) else 0.0

    def keep(self, stage: str, key: str, made: Mapping[str, Any], seconds: float) -> None:
        """The stage is done; those after it, which were made of something else, are not any more."""
        names = list(self._stages)
        before = names[: names.index(stage)] if stage in names else names
        self._stages = {name: self._stages[name] for name in before}
        self._stages[stage] = {"key": key, "seconds": round(seconds, 1), "made": dict(made)}
        write_json(self._path, {"stages": self._stages})


def key_of(*parts: object) -> str:
    """A hash of what decides what a stage makes."""
    written = json.dumps(parts, sort_keys=True, default=str)
    return hashlib.sha256(written.encode()).hexdigest()
