"""The model that is evaluated or asked: a run, an adapter in PEFT form, or a base model; found by its name and loaded.

A run trained with one adapter a task (`data.adapters: per_task`) is a folder of runs; its model is loaded once and
gets each task's adapter in turn. A run that has not finished stands for its best checkpoint. Finding a model executes
nothing that the folder holds. Loading costs what the base weighs.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import date
from pathlib import Path
from typing import TYPE_CHECKING, Any

from lexitrain.errors import ModelError, RunError, TaskError
from lexitrain.evaluation.sources.gguf_model import gguf_files
from lexitrain.evaluation.sources.remote_model import RemoteModel, is_address, remote_model
from lexitrain.models import (
    CONFIG_FILE,
    WEIGHTS_FILE,
    base_identity,
    identity_before_it_was_written,
)
from lexitrain.recipe import NANO, ModelSection, Recipe
from lexitrain.runs import Checkpoints, DataSummary, Run, first_day
from lexitrain.serving import file_facts, require_llama_cpp
from lexitrain.storage import user_path

if TYPE_CHECKING:
    import torch

_WITHOUT_RECIPE_LENGTH = 4096  # tokens of a prompt when no recipe says how long a sample may be


@dataclass(frozen=True, slots=True)
class LocatedModel:
    """A model by its place.

    Attributes:
        name: as it was given.
        model: base, quantization and precision.
        adapters: task to adapter folder; under None the adapter for all tasks; empty for a base alone.
        tokenizer: folder or id that the tokenizer is read from.
        run: the run folder, where it is one.
        tasks: the tasks it was trained for; empty where unknown.
        custom_tasks: the user's own tasks that its recipe names.
        folders: run folders in which copies of their files may be.
        max_length: tokens of a sample in training.
        system: `data.system` of its recipe.
        data: folder it was trained on, as it was given then.
        day: that its chat template was dated with; None where it writes no date, or none is known.
        targets: by task and score, of its recipe.
        remote: the server that answers for it; then nothing is loaded here.
        file: in GGUF; then llama.cpp answers.
        file_adapter: in GGUF, used with it.
    """

    name: str
    model: ModelSection
    tokenizer: str
    adapters: Mapping[str | None, Path] = field(default_factory=dict[str | None, Path])
    run: Run | None = None
    tasks: tuple[str, ...] = ()
    custom_tasks: tuple[str, ...] = ()
    folders: tuple[Path, ...] = ()
    max_length: int = _WITHOUT_RECIPE_LENGTH
    system: str | None = None
    data: Path | None = None
    day: date | None = None
    targets: Mapping[str, Mapping[str, float]] = field(
        default_factory=dict[str, "Mapping[str, float]"]
    )
    remote: RemoteModel | None = None
    file: Path | None = None
    file_adapter: Path | None = None

    @property
    def loads_here(self) -> bool:
        """Whether it is loaded into this process."""
        return self.remote is None and self.file is None

    @property
    def runs(self) -> list[Run]:
        """The runs that its adapters come from."""
        return [run for run in map(Run, self.folders) if run.recipe_file.is_file()]

    @property
    def unfinished(self) -> tuple[str, ...]:
        """Checkpoints that stand for adapters of runs that have not finished, such as `checkpoints/best-000150`."""
        return tuple(
            "/".join(path.parts[-2:])
            if task is None or self.run is None
            else str(path.relative_to(self.run.path))
            for task, path in self.adapters.items()
            if path.parent.name == "checkpoints"
            and path != user_path(self.name)  # not one that was asked for
        )

    def require(self, tasks: Iterable[str]) -> None:
        """Nothing, when it can do these tasks.

        Raises:
            TaskError: every task has an adapter of its own, and one of these has none.
        """
        for task in tasks:
            if self.adapters and None not in self.adapters and task not in self.adapters:
                raise TaskError(
                    f"There is no adapter for the task {task}.",
                    where=self.name,
                    fix=f"It has adapters for: {', '.join(map(str, self.adapters))}; --task chooses one.",
                )


@dataclass(slots=True)
class LoadedModel:
    """A model ready to generate. `select` puts a task's own adapter into it."""

    model: Any
    tokenizer: Any
    located: LocatedModel
    current: Path | None

    def select(self, task: str) -> None:
        """Make the adapter for `task` the active one. Raises TaskError like `LocatedModel.require`."""
        adapters = self.located.adapters
        if not adapters or None in adapters:
            return
        self.located.require([task])
        if self.current != adapters[task]:
            from lexitrain.models import restore_adapter

            restore_adapter(self.model, adapters[task])
            self.current = adapters[task]


def locate_model(run_or_model: str | Path) -> LocatedModel:
    """Find out what a name means: a run folder, an adapter folder, a base (folder, `nano`, Hub id).

    Raises:
        ModelError: it is a path where nothing is, or a folder that is no model; or a server does not answer.
        MissingExtra: it is a GGUF file, and gguf is not installed.
        RunError: it is a run that has neither an adapter nor a checkpoint yet.
    """
    name = str(run_or_model)
    if is_address(name):
        remote = remote_model(name)
        return LocatedModel(remote.name, ModelSection(base=remote.name), remote.name, remote=remote)
    path = user_path(name)
    if name != NANO:  # that is the packaged one even where a folder of this name lies about
        if (trained := _of_folder(name, path)) is not None:
            return trained
        if (files := gguf_files(name)) is not None:
            return _of_file(name, *files)
        _require_base(path)
    return LocatedModel(name, ModelSection(base=name), name)


def _of_folder(name: str, path: Path) -> LocatedModel | None:
    """Of a run, an adapter, or a folder of runs; None where it is none of them."""
    run = Run(path)
    if run.exists():
        recipe = run.read_recipe()
        return _located(name, recipe, {None: _adapter(run)}, run)
    if (path / CONFIG_FILE).is_file():
        return _of_adapter(name, path)
    if not path.is_dir() or not (parts := _parts(path)):
        return None
    recipes = {task: part.read_recipe() for task, part in parts.items()}
    adapters: dict[str | None, Path] = {t: _adapter(part) for t, part in parts.items()}
    first = next(iter(recipes.values()))
    data = first.data.model_copy(update={"tasks": tuple(parts)})
    return _located(name, first.model_copy(update={"data": data}), adapters, run, parts)


def _of_file(name: str, file: Path, adapter: Path | None) -> LocatedModel:
    facts = file_facts(file)
    return LocatedModel(
        name,
        ModelSection(base=name),
        name,
        tasks=facts.tasks,
        system=facts.system,
        max_length=facts.max_length or _WITHOUT_RECIPE_LENGTH,
        file=file,
        file_adapter=adapter,
    )


def _require_base(path: Path) -> None:
    """Nothing, where a name may be that of a base."""
    if path.is_dir() and not (path / "config.json").is_file():
        raise ModelError(
            "This folder is no run, no adapter and no model.",
            where=path,
            fix="Give the folder of a run, or one that holds adapter_config.json or config.json.",
        )
    if path.is_file():
        raise ModelError(
            "This is a file, not the folder of a run, an adapter or a model.",
            where=path,
            fix="Give the folder, or a GGUF file.",
        )
    if not path.exists() and len(path.parts) > 1 and path.parent.is_dir():
        raise RunError(
            "There is no such run or model.", where=path, fix="`lexitrain runs` lists the runs."
        )


def require_model(run_or_model: str | Path) -> None:
    """Nothing, when a model can be located and its base is the one that it was trained on; loads nothing.

    Raises:
        As `locate_model` and `load_model`.
    """
    located = locate_model(run_or_model)
    if located.file is not None:
        require_llama_cpp()
    if located.loads_here:
        _require_same_base(located)


def load_model(located: LocatedModel, device: torch.device | str | None = None) -> LoadedModel:
    """The located model's model and tokenizer.

    Args:
        device: the GPU where there is one, by default.

    Raises:
        ModelError: base or adapter cannot be loaded, or the base's weights are not those that the run was trained on.
    """
    if not located.loads_here:
        raise ModelError(
            "A GGUF file or a model behind an address cannot be loaded here.",
            where=located.name,
            fix="Score it with `lexitrain evaluate`, or ask a server: `lexitrain serve FILE`.",
        )
    import torch

    from lexitrain.models import compute_dtype, load_adapter, load_base, load_tokenizer

    _require_same_base(located)
    device = torch.device(device or ("cuda" if torch.cuda.is_available() else "cpu"))
    dtype = compute_dtype(located.model.precision, device)
    tokenizer = load_tokenizer(located.tokenizer, located.model.revision)
    model: Any = load_base(located.model, device=device, dtype=dtype)
    adapter = next(iter(located.adapters.values()), None)
    if adapter is not None:
        model = load_adapter(model, adapter)
    return LoadedModel(model, tokenizer, located, adapter)


def _require_same_base(located: LocatedModel) -> None:
    run, base = located.run, located.model.base
    if run is not None and user_path(base).is_absolute() and not user_path(base).is_dir():
        raise ModelError(
            f"The base of this run is not in {base} any more.",
            where=run.path,
            fix="Put it there, or write the folder that it is in now as model.base into "
            f"{run.recipe_file}. Its weights are compared with those that the run was trained on.",
        )
    if run is None or not run.environment_file.is_file():
        return
    trained_on = run.read_environment().get("base") or identity_before_it_was_written(base)
    now = base_identity(base, located.model.revision)
    if None not in (trained_on, now) and trained_on != now:
        raise ModelError(
            f"This run was trained on other weights than those that {base} has now.",
            where=run.path,
            fix="Put the base back as it was, or train the run anew.",
        )


def _located(
    name: str,
    recipe: Recipe,
    adapters: Mapping[str | None, Path],
    run: Run,
    parts: Mapping[str, Run] | None = None,
) -> LocatedModel:
    runs = [run, *(parts or {}).values()]
    summary = _summary(runs)
    trained = () if summary is None else tuple(summary.samples.get("train", {}))
    return LocatedModel(
        name=name,
        model=recipe.model,
        tokenizer=recipe.model.base,
        adapters=adapters,
        run=run,
        tasks=recipe.data.tasks or trained,
        custom_tasks=recipe.data.custom_tasks,
        folders=tuple(each.path for each in runs),
        max_length=recipe.data.max_length,
        system=recipe.data.system,
        data=None if summary is None else Path(summary.folder),
        day=first_day(runs),
        targets=recipe.evaluation.targets,
    )


def _summary(runs: Sequence[Run]) -> DataSummary | None:
    """What the first of the runs that says so was trained on."""
    return next((run.read_data() for run in runs if run.data_file.is_file()), None)


def _adapter(run: Run) -> Path:
    """The run's adapter; while it has not finished its best one so far, else that of its newest whole checkpoint."""
    if (run.adapter / CONFIG_FILE).is_file():
        return run.adapter
    broken: list[str] = []

    def report(path: Path, reason: str) -> None:
        broken.append(f"{path.name}: {reason}")

    checkpoints = Checkpoints(run.checkpoints, keep=1)
    newest = checkpoints.newest_valid(report)
    best = checkpoints.best(report, None if newest is None else newest.step)
    for found in (best, newest):
        if found is not None and {CONFIG_FILE, WEIGHTS_FILE} <= found.files.keys():
            return found.path
    raise RunError(
        "This run has no adapter yet, and no checkpoint that is whole"
        + (f" ({'; '.join(broken)})." if broken else "."),
        where=run.path,
        fix="Train it, at least to its first checkpoint: lexitrain train",
    )


def _parts(path: Path) -> dict[str, Run]:
    """The runs of a folder that holds one a task, by task."""
    runs = {each.name: Run(each) for each in sorted(path.iterdir()) if each.is_dir()}
    return {
        name: run
        for name, run in runs.items()
        if run.exists() and run.read_recipe().data.tasks == (name,)
    }


def _of_adapter(name: str, path: Path) -> LocatedModel:
    try:
        config = json.loads((path / CONFIG_FILE).read_text(encoding="utf-8"))
        base = str(config["base_model_name_or_path"])
        revision = config.get("revision") or None
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise ModelError(
            f"The adapter's settings cannot be read ({error}).", where=path / CONFIG_FILE
        ) from error
    run = _run_of(path)
    if run is not None:  # the adapter of a run knows more than its own file says
        return _located(name, run.read_recipe(), {None: path}, run)
    beside = (path / "tokenizer_config.json").is_file()
    model = ModelSection(base=base, revision=revision)
    return LocatedModel(name, model, str(path) if beside else base, {None: path})


def _run_of(adapter: Path) -> Run | None:
    """The run whose `adapter/` or checkpoint this is."""
    path = adapter.absolute()
    runs = (Run(path.parent), Run(path.parents[1] if path.parent.name == "checkpoints" else path))
    return next((run for run in runs if run.exists()), None)
