"""The model that is exported: found once, loaded only where something has to be computed with it."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any

from lexitrain.errors import ModelError, TaskError
from lexitrain.evaluation import (
    LoadedModel,
    LocatedModel,
    load_model,
    locate_model,
    require_model,
    tasks_of,
)
from lexitrain.exporting.gguf.metadata import About
from lexitrain.exporting.merging.merged_weights import MergedWeights
from lexitrain.models import load_tokenizer
from lexitrain.records import TEST, TRAIN, iterate_split, split_file
from lexitrain.samples import Renderer

if TYPE_CHECKING:
    from lexitrain.records import Record
    from lexitrain.samples import Sample
    from lexitrain.tasks import Task


@dataclass
class ExportedModel:
    """Attributes:
    located: where it is.
    registry: the tasks by which it is asked.
    adapter: that is merged; None: a base alone.
    """

    located: LocatedModel
    registry: dict[str, Task]
    adapter: Path | None

    @classmethod
    def found(
        cls,
        model: str | Path,
        task: str | None,
        custom_tasks: Sequence[str],
        trust_tasks: bool,
    ) -> ExportedModel:
        """The model of a name.

        Args:
            task: whose adapter is exported, where each task has its own.

        Raises:
            ModelError, RunError: there is none, or its base is not the one that it was trained on.
            TaskError: it has an adapter for each task, and none of this one.
        """
        located = locate_model(model)
        if not located.loads_here:
            raise ModelError(
                "This is exported already, or runs elsewhere.",
                where=located.name,
                fix="Give a run, an adapter or a base.",
            )
        require_model(model)
        registry, _ = tasks_of(located, custom_tasks, trust_tasks)
        adapters = located.adapters
        if not adapters:
            return cls(located, registry, None)
        if None in adapters:
            return cls(located, registry, adapters[None])
        if task is None or task not in adapters:
            raise TaskError(
                "Each task of this run has an adapter of its own, and a merged model has one.",
                where=located.name,
                fix=f"Choose with --task: {', '.join(map(str, adapters))}.",
            )
        return cls(located, registry, adapters[task])

    @property
    def name(self) -> str:
        """For file names: that of the run's or the base's folder."""
        place = self.located.run.path if self.located.run is not None else Path(self.located.name)
        return place.resolve().name if place.exists() else place.name

    @property
    def base_name(self) -> str:
        """The base's, for file names."""
        return Path(self.located.model.base).resolve().name

    def required_adapter(self) -> Path:
        """The adapter.

        Raises:
            ModelError: there is none.
        """
        if self.adapter is None:
            raise ModelError(
                "This is a base without an adapter.",
                where=self.located.name,
                fix="Give a run or an adapter folder.",
            )
        return self.adapter

    @property
    def about(self) -> About:
        """What its files say of it."""
        located = self.located
        return About(
            self.name,
            located.tasks,
            located.system,
            located.max_length if located.run is not None else 0,
        )

    @property
    def tasks(self) -> dict[str, Task]:
        """The tasks that it was trained for; all, where that is unknown."""
        known = {name: task for name, task in self.registry.items() if name in self.located.tasks}
        return known or dict(self.registry)

    def weights(self, *, adapter: bool = True) -> MergedWeights:
        """Its weights, with or without the adapter."""
        return MergedWeights(self.located.model, self.adapter if adapter else None)

    @cached_property
    def tokenizer(self) -> Any:
        """With the chat template of training: an adapter's own folder has it with the date that training wrote."""
        place = self.located.tokenizer
        if self.adapter is not None and (self.adapter / "tokenizer_config.json").is_file():
            place = str(self.adapter)
        return load_tokenizer(place, self.located.model.revision)

    @cached_property
    def renderer(self) -> Renderer:
        """Of its prompts."""
        located = self.located
        return Renderer(self.tokenizer, self.registry, located.max_length, day=located.day)

    @cached_property
    def loaded(self) -> LoadedModel:
        """Base and adapter, in fp32 on the CPU: what the files are held against."""
        return load_model(self.located, "cpu")

    def samples(self, records: Sequence[Record]) -> list[Sample]:
        """Records as tokens; those that do not fit are left out."""
        return self.renderer.render_all(records, on_unfit=lambda *_: None)

    def held_out_samples(self, count: int) -> list[Sample]:
        """Some samples that it was not trained on, evenly spread; none where its data folder is not there."""
        folder = self.located.data
        file = None if folder is None else split_file(folder, TEST)
        if file is None or not file.is_file():
            return []
        return self._spread(file, count)

    def _spread(self, file: Path, count: int) -> list[Sample]:
        records = [each for each in iterate_split(file) if each.task in self.registry]
        count = min(count, len(records))
        return self.samples([records[place * len(records) // count] for place in range(count)])

    def training_samples(self, count: int) -> list[Sample]:
        """Some of the samples that it was trained on, evenly spread.

        Raises:
            ModelError: its data folder is not there.
        """
        folder = self.located.data
        file = None if folder is None else split_file(folder, TRAIN)
        if file is None or not file.is_file():
            raise ModelError(
                "The records that this model was trained on are not at hand, and importance is measured on them.",
                where=folder or self.located.name,
                fix="Leave --importance out, or put the data folder back.",
            )
        return self._spread(file, count)
