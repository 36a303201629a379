"""What is built: records, recipe, limits, and where everything goes."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from lexitrain.comparison import MARGIN
from lexitrain.recipe import Recipe, recipe_with_tasks


@dataclass(frozen=True, slots=True)
class Choices:
    """What is built.

    Attributes:
        records: files or folders.
        folder: that everything goes to.
        recipe: name or YAML file.
        overrides: `field=value` each.
        hours: most hours of training; with it, a recipe is chosen among the shipped ones and this.
        memory_gb: most memory, 10^9 bytes; without `hours` the given recipe is refused where it needs more.
        gpu: name of the device that is planned for; None: the one at hand.
        to: forms of the export.
        quantize: mixtures of its GGUF files.
        max_mb: largest file that `best` takes.
        limit: most held-out records to score and to verify with.
        margin: how much worse is no worse.
        stop_after: seconds after which training saves and stops.
        mirror: folder for copies of the run.
        trackers: that the training is told to; None: those of the recipe.
        custom_tasks: the user's own.
    """

    records: tuple[str, ...]
    folder: Path
    recipe: str = "fast"
    overrides: tuple[str, ...] = ()
    hours: float | None = None
    memory_gb: float | None = None
    gpu: str | None = None
    to: tuple[str, ...] = ("gguf",)
    quantize: tuple[str, ...] = ("Q4_K_M",)
    max_mb: float | None = None
    limit: int | None = None
    margin: float = MARGIN
    stop_after: float | None = None
    mirror: Path | None = None
    trackers: tuple[str, ...] | None = None
    custom_tasks: tuple[str, ...] = ()

    @property
    def data(self) -> Path:
        """The prepared records."""
        return self.folder / "data"

    @property
    def run(self) -> Path:
        """The run."""
        return self.folder / "run"

    @property
    def chosen_recipe(self) -> Path:
        """The recipe that is trained."""
        return self.folder / "recipe.yaml"


def own_recipe(choices: Choices) -> Recipe:
    """The recipe that was given, with the user's own tasks.

    Raises:
        RecipeError: as of `load_recipe`.
    """
    return recipe_with_tasks(choices.recipe, choices.overrides, choices.custom_tasks)
