"""From recipe, data folder and run folder to the objects of a run, in the state of its newest valid checkpoint."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from lexitrain.batching.sample_order import SampleOrder
from lexitrain.errors import InputError
from lexitrain.models import attach_adapter, load_base, load_tokenizer
from lexitrain.models.loading import compute_dtype
from lexitrain.recipe.schema import Recipe
from lexitrain.runs.folder import Run
from lexitrain.samples.data_files import data_differences, other_data
from lexitrain.samples.loading import RunSamples, load_samples
from lexitrain.step import Processes, TrainingStep, build_optimizer, keep_freed_memory
from lexitrain.tasks import registry
from lexitrain.training.environment import changes, environment, no_longer_exact
from lexitrain.training.loop import Training
from lexitrain.training.metrics import Observer
from lexitrain.training.recovery.accepted_changes import accepted
from lexitrain.training.recovery.checkpoint_content import (
    AdapterFiles,
    Standing,
    restore,
    standing_of,
)
from lexitrain.training.recovery.checkpoint_writer import Writer
from lexitrain.training.recovery.checkpoints import Checkpoint, Checkpoints, read_checkpoint
from lexitrain.training.recovery.crash_marker import StepMark
from lexitrain.training.recovery.memory_ladder import apply_rungs, base_on_rung
from lexitrain.training.recovery.mirror import Mirror
from lexitrain.training.recovery.past_events import learn
from lexitrain.training.recovery.shortening import Shortener
from lexitrain.training.run_plan import foresee
from lexitrain.training.stopping import Limits


def build_training(
    recipe: Recipe,
    data_dir: Path,
    run: Run,
    observer: Observer,
    limits: Limits,
    mark: StepMark,
    processes: Processes,
    accept_changes: bool,
) -> tuple[Training, Any, str | None]:
    """All objects of the run, its tokenizer, and the name of the checkpoint it goes on from, if there is one.

    A new run's folder gets its first files here, when nothing can be wrong with recipe and data any more.

    Raises:
        InputError: base, data or a setting cannot be used, or the run was started with other data.
    """
    observer.stage("reading the data")
    tokenizer: Any = load_tokenizer(recipe.model.base, recipe.model.revision)
    tasks = registry(recipe.data.custom_tasks)
    corpus = load_samples(run, data_dir, recipe, tasks, tokenizer)
    _settle_data(run, corpus, data_dir, observer, processes, accept_changes)
    if recipe.schedule.early_stopping is not None and not len(corpus.validation):
        raise InputError(
            "Early stopping needs validation samples, and there are none.",
            where="schedule.early_stopping",
            fix="Prepare data with a validation.jsonl, or leave early stopping out.",
        )
    order = SampleOrder(
        corpus.train.tasks,
        recipe.seed,
        recipe.step.effective_batch,
        recipe.schedule.epochs,
        recipe.data.task_weights,
    )
    checkpoints = Checkpoints(run.checkpoints, recipe.checkpoints.keep)
    newest = _newest(run, checkpoints, observer, processes)
    standing = processes.from_first(lambda: _where_it_stands(run, newest))
    observer.stage("planning the step")
    device = processes.device()
    foresight = processes.from_first(
        lambda: foresee(
            run, recipe, corpus, device, processes=processes.count, goes_on=newest is not None
        )
    )
    decided = foresight.recipe
    observer.stage("loading the model")
    if device.type == "cpu":
        keep_freed_memory()
    dtype = compute_dtype(recipe.model.precision, device)
    base = load_base(base_on_rung(decided.model, standing.rung), device=device, dtype=dtype)
    model = attach_adapter(base, recipe.lora, recipe.seed, recipe.model.adapter)
    optimizer = build_optimizer(model.parameters(), recipe.optimizer)
    step = TrainingStep(
        model,
        optimizer,
        decided.step,
        max_length=recipe.data.max_length,
        pad_id=tokenizer.pad_token_id,
        clip=recipe.optimizer.clip,
        processes=processes,
    )
    kept = recipe.checkpoints
    folder = kept.mirror_folder
    mirror = Mirror(run, folder, kept.keep) if folder and processes.first else None
    training = Training(
        run=run,
        recipe=recipe,
        corpus=corpus,
        order=order,
        step=step,
        adapter=AdapterFiles(model, recipe.model.base, recipe.model.revision),
        checkpoints=Writer(checkpoints, mirror, background=kept.background),
        standing=standing,
        observer=observer,
        shortener=Shortener(data_dir / "train.jsonl", tasks, tokenizer),
        mark=mark,
        saved_at=None if newest is None else newest.step,
        limits=limits,
        foresight=foresight,
    )
    if newest is not None:
        restore(newest, model, optimizer, step.loss_scale)
    apply_rungs(training)
    _write_first_files(training, environment(device, dtype, recipe.seed, processes.count))
    run.cut_metrics(standing.logged_at)
    return training, tokenizer, None if newest is None else newest.path.name


def _newest(
    run: Run, checkpoints: Checkpoints, observer: Observer, processes: Processes
) -> Checkpoint | None:
    """The newest valid checkpoint; tells of each broken one."""

    def broken(path: Path, reason: str) -> None:
        step = int(path.name.rpartition("-")[2])
        observer.event(run.append_event("broken", step, checkpoint=path.name, reason=reason))

    found = None
    if processes.first:
        checkpoints.remove_leftovers()
        found = checkpoints.newest_valid(broken)
    path = processes.from_first(lambda: found and found.path)
    return found if found is not None or path is None else read_checkpoint(path)


def _where_it_stands(run: Run, newest: Checkpoint | None) -> Standing:
    standing = Standing() if newest is None else standing_of(newest)
    learn(standing, run.events())
    return standing


def _settle_data(
    run: Run,
    corpus: RunSamples,
    data_dir: Path,
    observer: Observer,
    processes: Processes,
    accept: bool,
) -> None:
    """Refuse other data than the run was started with, or keep what they are from now on."""
    if not run.data_file.is_file():
        return
    differences = data_differences(run.read_data(), corpus.summary)
    if differences and not accept:
        raise other_data(differences, data_dir)
    if differences and processes.first:
        accepted(run, observer, data=differences)
        run.write_data(corpus.summary)


def _write_first_files(training: Training, now: dict[str, Any]) -> None:
    """Write what a run has from its start, as far as it is missing. The recipe comes first: it makes the run."""
    run = training.run
    if not training.step.processes.first:
        return
    if not run.exists():
        run.write_recipe(training.recipe)
    if not run.data_file.is_file():
        run.write_data(training.corpus.summary)
    training.corpus.save_new(run)
    if not run.plan_file.is_file():
        run.write_plan(training.foresight.document)
        training.event("planned", **training.foresight.summary())
    if not run.environment_file.is_file():
        run.write_environment(now)
    elif differences := changes(run.read_environment(), now):
        inexact = no_longer_exact(differences)
        training.event("environment", changes=differences, no_longer_exact=inexact)
