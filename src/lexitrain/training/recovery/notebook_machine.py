"""Free notebook machines: what of their disk outlives them.

A Colab machine is deleted with everything on it after at most 12 hours; what lies in a mounted Google Drive stays. Of a
Kaggle machine only `/kaggle/working` can be kept (persistence "Files only" or a saved version). Where a run's folder
would be deleted with its machine, the user is warned before hours are spent, with what to do about it.
"""

from __future__ import annotations

import os
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Literal

from lexitrain.recipe import NO_MIRROR
from lexitrain.runs import lies_in_mirror
from lexitrain.storage import user_path

if TYPE_CHECKING:
    from lexitrain.recipe import Recipe
    from lexitrain.runs import Run


@dataclass(frozen=True, slots=True)
class NotebookMachine:
    """A notebook machine.

    Attributes:
        name: whose it is.
        root: of its file system; another one in tests.
    """

    name: Literal["Colab", "Kaggle"]
    root: Path = Path("/")

    @property
    def drive(self) -> Path:
        """Where Colab mounts a Google Drive."""
        return self.root / "content" / "drive"

    @property
    def kept(self) -> Path:
        """The folder that outlives the machine."""
        if self.name == "Colab":
            return self.drive / "MyDrive"
        return self.root / "kaggle" / "working"

    def found_mirror(self, run: Path) -> Path | None:
        """A folder for the mirror that nobody has to name: in the mounted drive, for a run that lies outside of it."""
        if self.name == "Colab" and self.kept.is_dir() and not self._outlives(run):
            return self.kept / "lexitrain"
        return None

    def warning(self, run: Path, mirror: Path | None) -> dict[str, str] | None:
        """What happens to a run in this folder when the machine goes, and how to prevent it. None: it stays."""
        if self._outlives(run) or (mirror is not None and self._outlives(mirror)):
            return None
        if self.name == "Colab":
            fix = (
                "Run `from google.colab import drive; drive.mount('/content/drive')`, then the same command again: "
                "each checkpoint is then copied to the drive."
            )
        else:
            fix = (
                f'Use --run {self.kept / "runs" / run.name}, and set Persistence to "Files only" '
                "in the notebook's settings."
            )
        return {"what": f"{run} is deleted when this {self.name} machine ends.", "fix": fix}

    def _outlives(self, path: Path) -> bool:
        return path.resolve().is_relative_to(self.kept)


def this_machine(
    environ: Mapping[str, str] = os.environ, root: Path = Path("/")
) -> NotebookMachine | None:
    """The notebook machine that this process runs on; None on any other machine."""
    if "KAGGLE_KERNEL_RUN_TYPE" in environ:
        return NotebookMachine("Kaggle", root)
    if "COLAB_RELEASE_TAG" in environ:
        return NotebookMachine("Colab", root)
    return None


def with_mirror(recipe: Recipe, run: Run, given: str | Path | None) -> Recipe:
    """The recipe with the mirror that was given, that it names, that the run has had, or that this machine offers.

    A run that is itself the copy in its mirror has none, unless one is given. `require_place` says what cannot be one.
    """
    recipe = with_given_mirror(recipe, given)
    if recipe.checkpoints.mirror is None and run.exists():
        recipe = mirrored(recipe, run.read_recipe().checkpoints.mirror)
    machine = this_machine()
    if recipe.checkpoints.mirror is None and machine is not None:
        recipe = mirrored(recipe, machine.found_mirror(run.path))
    folder = recipe.checkpoints.mirror_folder
    if folder is None or given is not None or not run.exists():
        return recipe
    itself = (folder / run.path.name).resolve() == run.path.resolve()
    if itself or (
        not folder.is_dir() and lies_in_mirror(run)
    ):  # then the mirror is at another place now
        return mirrored(recipe, NO_MIRROR)
    return recipe


def with_given_mirror(recipe: Recipe, given: str | Path | None) -> Recipe:
    """The recipe with the mirror that a call names, where it names one."""
    if given is None:
        return recipe
    off = str(given).strip().casefold() == NO_MIRROR  # as in a recipe
    return mirrored(recipe, NO_MIRROR if off else user_path(given).absolute())


def mirrored(recipe: Recipe, mirror: str | Path | None) -> Recipe:
    """The recipe with another `checkpoints.mirror`."""
    kept = recipe.checkpoints.model_copy(update={"mirror": None if mirror is None else str(mirror)})
    return recipe.model_copy(update={"checkpoints": kept})


def machine_warning(run: Run, recipe: Recipe) -> dict[str, str] | None:
    """What happens to the run when this notebook machine ends, and the fix; None where it stays."""
    machine = this_machine()
    return machine and machine.warning(run.path, recipe.checkpoints.mirror_folder)
