"""What of a build is done: `build.json`, a line of keys and results for each stage.

A stage's key is a hash of all that decides what it makes: what it was given, and the key of the stage before it. It is
written when the stage is done, at once, so that a kill in the middle leaves it undone; a stage with another key, or
whose files have gone, is done again. What a stage has half done is its own affair: training goes on from a checkpoint,
answers from their journal.

An entry is sealed with a hash of itself, and names the files that the stage made with their sizes. One that was changed
by hand or by a disk does not stand for work that was done, and neither does one whose files are missing or cut short.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, cast

from lexitrain.errors import InputError
from lexitrain.runs import BUILD_JOURNAL
from lexitrain.storage import file_sha256, json_text, write_json

_SMALL = 1_000_000  # bytes


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
        if not self._path.exists():
            return
        try:
            read: object = json.loads(self._path.read_text(encoding="utf-8"))
            stages: object = cast("dict[str, Any]", read)["stages"]
            if not isinstance(stages, dict):
                raise TypeError
            self._stages = dict(cast("dict[str, dict[str, Any]]", stages))
            if not all(isinstance(each, dict) for each in self._stages.values()):
                raise TypeError
        except (OSError, ValueError, KeyError, TypeError, RecursionError):
            raise InputError(
                "This is not the journal of a build.",
                where=self._path,
                fix="Choose another --out, or delete the file: finished stages are then checked anew.",
            ) from None

    def done(self, stage: str, key: str) -> Mapping[str, Any] | None:
        """What the stage made, where it was done with this key; else None."""
        found = self._stages.get(stage)
        if found is None or found.get("key") != key or found.get("seal") != _seal(found):
            return None
        return cast("dict[str, Any]", found["made"])

    def lacks(self, stage: str) -> tuple[list[Path], list[Path]]:
        """Files of a stage that is done: those that are not there, and those that are not as it left them."""
        kept = cast("dict[str, int | str]", self._stages[stage]["files"])
        files = {self._path.parent / name: state for name, state in kept.items()}
        missing = [path for path in files if not path.exists()]
        changed = [path for path, state in files.items() if path.exists() and _state(path) != state]
        return missing, changed

    def has(self, stage: str) -> bool:
        """Whether it was done, of whatever inputs."""
        return stage in self._stages

    def seconds(self, stage: str) -> float:
        """That the stage took; 0 where unknown."""
        found = self._stages.get(stage, {}).get("seconds", 0.0)
        return float(found) if isinstance(found, int | float) else 0.0

    def keep(
        self,
        stage: str,
        key: str,
        made: Mapping[str, Any],
        seconds: float,
        files: Sequence[Path] = (),
    ) -> None:
        """The stage is done; those after it, which were made of something else, are not any more.

        Args:
            files: that it made, below the folder; a folder stands for all in it.
        """
        names = list(self._stages)
        before = names[: names.index(stage)] if stage in names else names
        self._stages = {name: self._stages[name] for name in before}
        root = self._path.parent
        entry = {
            "key": key,
            "seconds": round(seconds, 1),
            "made": dict(made),
            "files": {
                path.relative_to(root).as_posix(): _state(path) for path in files if path.exists()
            },
        }
        entry = json.loads(json_text(entry))  # as it will be read again
        self._stages[stage] = {**entry, "seal": _seal(entry)}
        write_json(self._path, {"stages": self._stages})


def _seal(entry: Mapping[str, Any]) -> str:
    return key_of({name: value for name, value in entry.items() if name != "seal"})


def _state(path: Path) -> int | str:
    """A small file's hash; of a larger one, or of a folder, the bytes: they are to be asked for at every call."""
    if path.is_dir():
        return sum(each.stat().st_size for each in path.rglob("*") if each.is_file())
    size = path.stat().st_size
    return file_sha256(path) if size <= _SMALL else size


def key_of(*parts: object) -> str:
    """A hash of what decides what a stage makes."""
    written = json.dumps(parts, sort_keys=True, default=str)
    return hashlib.sha256(written.encode()).hexdigest()
