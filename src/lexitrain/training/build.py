"""From recipe, data folder and run folder to the objects of a run, in the state of its newest valid checkpoint."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import date
from pathlib import Path
from typing import TYPE_CHECKING, Any

from lexitrain.batching import SampleOrder
from lexitrain.errors import ModelError, RecipeError, number_of
from lexitrain.models import (
    base_identity,
    characters_learnt_as_bytes,
    compute_dtype,
    hold_back,
    load_tokenizer,
    most_tokens,
    principal_factors,
    require_known_tokens,
    require_usable_packages,
)
from lexitrain.planning import ON_A_MAC, has_apple_gpu
from lexitrain.records import TRAIN, VALIDATION, file_name, split_file
from lexitrain.runs import Checkpoint, Checkpoints, keep_tasks, read_checkpoint, step_of
from lexitrain.samples import load_samples, unlearnt_bytes
from lexitrain.step import (
    TrainingStep,
    bitsandbytes_uses,
    require_bitsandbytes,
    require_layout_of,
    require_plain_loss,
)
from lexitrain.tasks import registry
from lexitrain.training.before.built_step import built_step
from lexitrain.training.before.disk_room import DiskRoom, require_disk_room
from lexitrain.training.before.real_samples import two_samples
from lexitrain.training.environment import changes, environment, no_longer_exact
from lexitrain.training.event_log import EventLog
from lexitrain.training.loop import Training
from lexitrain.training.recovery.accepted_changes import settle_base, settle_data
from lexitrain.training.recovery.checkpoint_content import AdapterFiles, restore, state_of
from lexitrain.training.recovery.checkpoint_writer import CheckpointWriter
from lexitrain.training.recovery.memory_ladder import MemoryLadder, base_on_rung
from lexitrain.training.recovery.mirror import Mirror
from lexitrain.training.recovery.non_finite import NonFiniteGuard
from lexitrain.training.recovery.shortening import Shortener
from lexitrain.training.recovery.state import TrainingState
from lexitrain.training.run_plan import RunPlan, plan_run
from lexitrain.training.step_work import StepSource

if TYPE_CHECKING:
    import torch

    from lexitrain.recipe import Recipe
    from lexitrain.runs import DataSummary, Run
    from lexitrain.samples import RunSamples
    from lexitrain.step import Processes
    from lexitrain.training.event_log import Observer
    from lexitrain.training.recovery.crash_marker import CrashMarker
    from lexitrain.training.stopping import Limits
    from lexitrain.watching import TrackerProcesses


@dataclass(frozen=True, slots=True)
class Call:
    """What is the same for all runs of one call of `train`.

    Attributes:
        data_dir: the prepared data.
        task_sources: where the tasks that the recipe's `data.custom_tasks` names are read from.
        limits: where the call stops before the end.
        observer: is told what happens.
        processes: those that train together.
        accept: go on with another recipe or other data than the run was started with.
        day: the date that a dated chat template writes in runs that have none yet.
    """

    data_dir: Path
    task_sources: tuple[str, ...]
    limits: Limits
    observer: Observer
    processes: Processes
    accept: bool
    day: date


@dataclass(frozen=True, slots=True)
class BuiltRun:
    """A run, ready to train.

    Attributes:
        training: what the loop needs.
        tokenizer: saved beside the adapter.
        data: what the samples are.
        plan: what was predicted.
        resumed: name of the checkpoint that it goes on from, if there is one.
    """

    training: Training
    tokenizer: Any
    data: DataSummary
    plan: RunPlan
    resumed: str | None


def build_run(
    recipe: Recipe, run: Run, call: Call, marker: CrashMarker, trackers: TrackerProcesses
) -> BuiltRun:
    """All objects of the run.

    A new run's folder gets its first files here, when nothing can be wrong with recipe and data any more.

    Raises:
        InputError: base, data or a setting cannot be used.
        RunChanged: the run was started with other data, or on other weights.
    """
    processes, observer = call.processes, call.observer
    require_usable_packages()
    settle_base(run, recipe, observer, accept=call.accept, write=processes.first)
    observer.stage("reading the data")
    tokenizer: Any = load_tokenizer(recipe.model.base, recipe.model.revision)
    tasks = registry(call.task_sources, recipe.data.system)
    samples = load_samples(run, call.data_dir, recipe, tasks, tokenizer, day=call.day)
    settle_data(
        run, samples.summary, call.data_dir, observer, accept=call.accept, write=processes.first
    )
    _require_validation(recipe, samples)
    order = SampleOrder(
        samples.train.tasks,
        recipe.seed,
        recipe.step.effective_batch,
        recipe.schedule.epochs,
        recipe.data.task_weights,
    )
    checkpoints = Checkpoints(run.checkpoints, recipe.checkpoints.keep)
    newest = _newest(run, checkpoints, observer, processes)
    state = processes.from_first(lambda: _state(run, newest))
    log = EventLog(run, state, observer)
    observer.stage("planning the step")
    device = processes.device()
    if device.type == "cpu" and has_apple_gpu():
        observer.stage(ON_A_MAC)
    plan = processes.from_first(
        lambda: plan_run(
            run, recipe, samples, device, processes=processes.count, goes_on=newest is not None
        )
    )
    if newest is None:
        processes.from_first(lambda: require_disk_room(_disk_room(run, plan)))
        require_bitsandbytes(bitsandbytes_uses(plan.recipe.model, recipe.optimizer), device)
    observer.stage("loading the model")
    # A checkpoint holds all weights of the adapter: the one to start from is needed no more.
    start = recipe.model.adapter if newest is None else None
    step, adapter = _build_step(recipe, plan, start, state, processes, tokenizer.pad_token_id)
    _require_room(step, samples)
    if newest is None:
        _begin(step.model, recipe, processes)
    require_plain_loss(step)
    if newest is None:
        require_layout_of(step, two_samples(samples.train))
    else:
        restore(newest, step.model, step.optimizer, step.loss_scale)
    writer = _writer(run, recipe, checkpoints, call)
    source = StepSource(samples.train, order, step)
    day = date.fromisoformat(samples.summary.day) if samples.summary.day else None
    shortener = Shortener(split_file(call.data_dir, TRAIN), tasks, tokenizer, day)
    ladder = MemoryLadder(recipe, state, step, source, shortener, log)
    ladder.apply()
    guard = NonFiniteGuard(state, step, log, lambda: log.write_outcomes(writer.outcomes(wait=True)))
    training = Training(
        recipe=recipe,
        validation=samples.validation,
        order=order,
        step=step,
        source=source,
        ladder=ladder,
        guard=guard,
        adapter=adapter,
        checkpoints=writer,
        state=state,
        log=log,
        marker=marker,
        trackers=trackers,
        limits=call.limits,
        saved_at=None if newest is None else newest.step,
    )
    if processes.first:
        _write_first_files(recipe, samples, plan, log, tokenizer)
        keep_tasks(run, recipe.data.custom_tasks, call.task_sources)
        _write_environment(log, _environment(recipe, device, processes))
    run.cut_metrics(state.logged_at)
    resumed = None if newest is None else newest.path.name
    return BuiltRun(training, tokenizer, samples.summary, plan, resumed)


def _require_validation(recipe: Recipe, samples: RunSamples) -> None:
    if recipe.schedule.early_stopping is not None and not len(samples.validation):
        raise RecipeError(
            "Early stopping needs validation samples, and there are none.",
            where="schedule.early_stopping",
            fix=f"Prepare data with a {file_name(VALIDATION)}, or leave early stopping out.",
        )


def _require_room(step: TrainingStep, samples: RunSamples) -> None:
    """Nothing, when the base takes samples of these tokens and lengths."""
    used = [part.tokens for part in (samples.train, samples.validation) if len(part)]
    require_known_tokens(
        step.model, max(step.step_layout.pad_id, *(int(each.max()) for each in used))
    )
    limit = most_tokens(step.model.get_base_model().config)
    parts = [part.lengths.max() for part in (samples.train, samples.validation) if len(part)]
    if limit is not None and parts and max(parts) > limit[0]:
        raise ModelError(
            f"The longest sample has {number_of(max(parts), 'token')}, and this base takes {limit[0]}: {limit[1]}.",
            where="data.max_length",
            fix=f"Use data.max_length={limit[0]}, or another base.",
        )


def _disk_room(run: Run, plan: RunPlan) -> DiskRoom:
    planned: dict[str, float] = plan.document.get("checkpoint_mb", {})
    each, kept = (1e6 * planned.get(name, 0.0) for name in ("each", "kept"))
    return DiskRoom.of(run.path, each, each + kept)


def _newest(
    run: Run, checkpoints: Checkpoints, observer: Observer, processes: Processes
) -> Checkpoint | None:
    """The newest valid checkpoint; tells of each broken one."""

    def broken(path: Path, reason: str) -> None:
        step = step_of(path)
        observer.event(run.append_event("broken", step, checkpoint=path.name, reason=reason))

    found = None
    if processes.first:
        checkpoints.remove_leftovers()
        found = checkpoints.newest_valid(broken)
    path = processes.from_first(lambda: found and found.path)
    return found if found is not None or path is None else read_checkpoint(path)


def _state(run: Run, newest: Checkpoint | None) -> TrainingState:
    """Where the run stands, by its newest checkpoint and what its events say beyond that."""
    state = TrainingState() if newest is None else state_of(newest)
    state.learn_from(run.events())
    return state


def _build_step(
    recipe: Recipe,
    plan: RunPlan,
    start: str | None,
    state: TrainingState,
    processes: Processes,
    pad_id: int,
) -> tuple[TrainingStep, AdapterFiles]:
    """The step with its model and optimizer as they are before the first step.

    Args:
        recipe: as the user gave it.
        plan: with the automatic settings decided.
        start: folder of an adapter to start from.
        state: says on which rung of the memory ladder the base is loaded.
        processes: those that train together.
        pad_id: token put on padding.
    """
    base = base_on_rung(plan.recipe.model, state.rung)
    step = built_step(
        plan.recipe, base, pad_id, start=start, processes=processes, cut_cost=plan.cut_cost
    )
    return step, AdapterFiles(step.model, recipe.model.base, recipe.model.revision)


def _begin(model: Any, recipe: Recipe, processes: Processes) -> None:
    """Take the start of a new run's adapter out of the base, where it begins there: the same one in all processes."""
    init = recipe.lora.init
    if recipe.lora.changes_base:
        hold_back(model, processes.from_first(lambda: principal_factors(model, init)))


def _writer(run: Run, recipe: Recipe, checkpoints: Checkpoints, call: Call) -> CheckpointWriter:
    saving = recipe.checkpoints
    folder, mirror = saving.mirror_folder, None
    if folder is not None and call.processes.first:
        mirror = Mirror(run, folder, saving.keep, data=call.data_dir)
    return CheckpointWriter(checkpoints, mirror, background=saving.background)


def _write_first_files(
    recipe: Recipe, samples: RunSamples, plan: RunPlan, log: EventLog, tokenizer: Any
) -> None:
    """Write what a run has from its start, as far as it is missing. The recipe comes first: it makes the run."""
    run = log.run
    if not run.exists():
        run.write_recipe(recipe)
    if not run.data_file.is_file():
        run.write_data(samples.summary)
    samples.save_new(run)
    if not run.plan_file.is_file():
        run.write_plan(plan.document)
        log.write("planned", **plan.summary())
        for note in samples.notes:
            log.write("warning", what=note, fix="")
        shown = characters_learnt_as_bytes(recipe.model.base)
        for warning in unlearnt_bytes(tokenizer, samples.train, shown):
            log.write("warning", **warning._asdict())


def _environment(recipe: Recipe, device: torch.device, processes: Processes) -> dict[str, Any]:
    base = base_identity(recipe.model.base, recipe.model.revision)
    dtype = compute_dtype(recipe.model.precision, device)
    return environment(device, dtype, recipe.seed, processes.count, base)


def _write_environment(log: EventLog, now: dict[str, Any]) -> None:
    """Write what the run is trained with, or an event about what differs from its start."""
    run = log.run
    if not run.environment_file.is_file():
        run.write_environment(now)
    elif differences := changes(run.read_environment(), now):
        inexact = no_longer_exact(differences)
        log.write("environment", changes=differences, no_longer_exact=inexact)
