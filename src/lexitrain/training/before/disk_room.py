"""Room for a checkpoint in the run's folder: every run writes one, so that without it the training would be lost."""

from __future__ import annotations

import shutil
from dataclasses import dataclass
from pathlib import Path

from lexitrain.errors import RunError

_START = 65_536
"""Bytes that a run's first files take. A disk with less is full before anything is trained, and says so itself."""


@dataclass(frozen=True, slots=True)
class DiskRoom:
    """Free bytes for a folder, and what it is to hold.

    Attributes:
        place: the folder, or the nearest one above it that is there.
        free: bytes.
        each: one checkpoint, bytes; 0 where nothing was planned.
        most: all that is there while a checkpoint is written.
    """

    place: Path
    free: int
    each: int
    most: int

    @classmethod
    def of(cls, folder: Path, each: float, most: float) -> DiskRoom:
        """What is free there now."""
        place = next(each for each in (folder, *folder.absolute().parents) if each.is_dir())
        return cls(place, shutil.disk_usage(place).free, round(each), round(most))


def require_disk_room(room: DiskRoom) -> None:
    """Nothing, where one checkpoint has room.

    Raises:
        RunError: not even one has.
    """
    if _START <= room.free < room.each:
        raise RunError(
            f"A checkpoint of this run takes {room.each / 1e6:,.1f} MB, and {room.free / 1e6:,.1f} MB are free: what "
            "is trained could not be saved.",
            where=room.place,
            fix="Make room there, give another --run folder, or use a smaller lora.rank or optimizer.name=adamw_8bit.",
        )
