"""A copy of each finished checkpoint in another folder, such as a mounted drive that outlives the machine.

The copy is written like a checkpoint (temporary name, synced, renamed), read back and verified, and rotated; old files
are emptied before they are deleted, because a drive's trash counts against its quota. A mirror that cannot be reached
is told and does not stop the run. Costs a write and a read of every checkpoint on the other folder's medium.
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from lexitrain.training.checkpoints import BrokenCheckpoint, Checkpoints, read_checkpoint


class Mirror:
    """The mirror of one run, in `folder/<run name>/checkpoints`.

    Args:
        folder: the folder that `checkpoints.mirror` names.
        run_name: name of the run's folder.
        keep: newest checkpoints to keep there; the best adapter is kept besides.
    """

    def __init__(self, folder: Path, run_name: str, keep: int) -> None:
        self.folder = folder / run_name / "checkpoints"
        self._checkpoints = Checkpoints(self.folder, keep, truncate=True)

    def copy(
        self, checkpoint: Path, step: int, files: Mapping[str, bytes], note: Mapping[str, Any]
    ) -> str | None:
        """Copy what was just saved as `checkpoint`; returns what went wrong, or None."""
        try:
            self._checkpoints.remove_leftovers()
            if checkpoint.name.startswith("best-"):
                copied = self._checkpoints.save_best(step, files, note)
            else:
                copied = self._checkpoints.save(step, files)
            read_checkpoint(copied)
        except OSError as error:
            return f"{self.folder} cannot be written: {error.strerror or error}"
        except BrokenCheckpoint as error:
            return f"the copy of {checkpoint.name} in {self.folder} does not verify: {error}"
        return None
