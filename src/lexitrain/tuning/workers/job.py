"""All that a worker needs to know, as plain data: it may be another process."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

from lexitrain.recipe import NO_MIRROR, Recipe, recipe_from_yaml
from lexitrain.training import recipe_of_task
from lexitrain.tuning.designs.length import steps_of
from lexitrain.tuning.designs.race import race_of
from lexitrain.tuning.designs.sweep import changed, sweep_of
from lexitrain.tuning.designs.unit import Design, Unit
from lexitrain.tuning.study.address import Address
from lexitrain.tuning.study.study import Study

TRIALS = "trials"


@dataclass(frozen=True)
class Job:
    """The work of a study.

    Attributes:
        recipe: that is changed, as YAML with every field.
        data: folder of the prepared data.
        records: task -> training records, of the tasks that are trained.
        folder: of the study.
        url, shown: of its database.
        study: its name there.
        sweep: as on the command line; empty: a race.
        seeds: of each combination of a sweep.
        entrants: candidates in a race's first rung.
        trials: most runs of a sweep; None: all.
        hours: no trial begins after so many hours of machines; None: no limit.
        workers: processes on this machine.
        heartbeat: seconds between two signs of life.
    """

    recipe: str
    data: str
    records: Mapping[str, int]
    folder: str
    url: str
    shown: str
    study: str
    sweep: tuple[str, ...]
    seeds: int
    entrants: int
    trials: int | None
    hours: float | None
    workers: int
    heartbeat: int

    def to_json(self) -> dict[str, Any]:
        """For another process of this machine; it holds the password."""
        return asdict(self)

    @staticmethod
    def from_json(content: Mapping[str, Any]) -> Job:
        """What `to_json` wrote."""
        return Job(**{**content, "sweep": tuple(content["sweep"])})

    @cached_property
    def base(self) -> Recipe:
        """The recipe that is changed."""
        return recipe_from_yaml(self.recipe, "the recipe")

    @cached_property
    def design(self) -> Design:
        """Which runs there are."""
        if self.sweep:
            return sweep_of(self.base, self.sweep, self.seeds)
        return race_of(self.base, steps_of(self.base, self.records), self.entrants)

    def open_study(self) -> Study:
        """The study, for one process and thread."""
        address = Address(self.url, self.shown)
        return Study(address, self.study, self.design.axes, self.heartbeat)

    def folder_of(self, run: str) -> Path:
        """The run folder of a trial."""
        return Path(self.folder) / TRIALS / run

    def recipe_of(self, unit: Unit) -> Recipe:
        """The recipe of a trial's run: changed, with its seed.

        The run keeps one checkpoint and is not mirrored: the study's folder is what is to be kept, and runs of several
        studies would meet in one mirror.
        """
        recipe = changed(self.base, unit.changes)
        checkpoints = recipe.checkpoints.model_copy(update={"keep": 1, "mirror": NO_MIRROR})
        return recipe.model_copy(update={"seed": unit.seed, "checkpoints": checkpoints})

    def parts_of(self, unit: Unit, run: str) -> list[Part]:
        """The runs that a trial trains: one, or with one adapter per task one for each, in the folder of its name."""
        recipe, folder = self.recipe_of(unit), self.folder_of(run)
        if recipe.data.adapters == "one":
            return [Part(recipe, folder, self._stop(recipe, unit, self.records))]
        return [
            Part(own, folder / task, self._stop(own, unit, {task: count}))
            for task, count in self.records.items()
            for own in (recipe_of_task(recipe, task),)
        ]

    def _stop(self, recipe: Recipe, unit: Unit, records: Mapping[str, int]) -> int | None:
        return None if unit.share >= 1 else steps_of(recipe, records, unit.share)


@dataclass(frozen=True)
class Part:
    """A run of a trial.

    Attributes:
        recipe, folder: of the run.
        stop_after_step: where it stops; None: at its end.
    """

    recipe: Recipe
    folder: Path
    stop_after_step: int | None
