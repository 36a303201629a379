"""`train`: start a run or go on with it, and bring it to its end.

The checks that need no model come first, so that a mistake costs a second: the folder, the recipe, the data. Then the
objects are built (tokenizer, samples, model with adapter, optimizer, step), the newest valid checkpoint is put into
them, and the loop takes over. Where a launcher started several processes, all of them come through here; what concerns
the folder is decided by the first.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass, replace
from datetime import date, datetime
from pathlib import Path
from time import perf_counter
from typing import TYPE_CHECKING, Literal

from lexitrain.errors import Stopped
from lexitrain.recipe import with_whole_paths
from lexitrain.runs import ReadOnlyRun, Run, first_day, storage_errors, task_sources
from lexitrain.samples import file_facts, require_known_tasks
from lexitrain.step import joined_processes, release_memory
from lexitrain.storage import remove_folder, user_path
from lexitrain.tasks import registry
from lexitrain.training.before.run_folder import require_no_file, require_run_folder
from lexitrain.training.build import BuiltRun, Call, build_run
from lexitrain.training.event_log import Silent
from lexitrain.training.final_adapter import CardFacts, shipped_adapter, write_adapter
from lexitrain.training.inputs.kept_data import find_data, runs_at_hand
from lexitrain.training.loop import (
    Ending,
    Training,
    collect_outcomes,
    finite_or_told,
    run_steps,
    validation_loss,
)
from lexitrain.training.metrics import peak_memory_gb
from lexitrain.training.outcome.copies_and_trackers import catch_up, settle_up
from lexitrain.training.outcome.learning_curve import learning_curve
from lexitrain.training.outcome.result import TrainingResult, finished_before, first_loss
from lexitrain.training.per_task import combined, recipe_of_task, tasks_to_train
from lexitrain.training.recovery.accepted_changes import keep_recipe, other_files, recipe_changes
from lexitrain.training.recovery.crash_marker import CrashMarker
from lexitrain.training.recovery.fresh_start import move_aside, move_mirror_aside
from lexitrain.training.recovery.mirror_restore import bring_back, require_place
from lexitrain.training.recovery.notebook_machine import (
    machine_warning,
    mirrored,
    with_given_mirror,
    with_mirror,
)
from lexitrain.training.recovery.state import ReturnToCheckpoint
from lexitrain.training.stopping import Interrupt, Limits
from lexitrain.watching import (
    TrackerProcesses,
    places_of,
    require_trackers,
    with_trackers,
)

if TYPE_CHECKING:
    from lexitrain.recipe import Recipe
    from lexitrain.training.event_log import Observer


def train(
    recipe: Recipe,
    data_dir: str | Path | None,
    run_dir: str | Path,
    *,
    stop_after_step: int | None = None,
    stop_after: float | None = None,
    stop_at: datetime | None = None,
    mirror: str | Path | None = None,
    trackers: Sequence[str] | None = None,
    fresh: bool = False,
    accept_changes: bool = False,
    observer: Observer | None = None,
) -> TrainingResult:
    """Train by a recipe, going on from the newest valid checkpoint where the run exists.

    Args:
        recipe: what to train.
        data_dir: folder with train.jsonl and, for validation, validation.jsonl. None: what the run was started with.
            Where the folder is gone, the copy in the run's mirror is taken.
        run_dir: the run's folder, made where missing.
        stop_after_step: save and stop after this step; the schedule stays that of the whole run.
        stop_after: save and stop within this time, seconds from now.
        stop_at: save and stop before this moment.
        mirror: folder for copies of the run, instead of the recipe's `checkpoints.mirror`. A run whose own folder is
            missing goes on from there.
        trackers: that are told of the run, as `tensorboard` or `mlflow:FOLDER`, instead of the recipe's `trackers`.
        fresh: move an existing run aside and start anew.
        accept_changes: go on with another recipe or other data than the run was started with.
        observer: is told what happens.

    Raises:
        InputError: wrong folder, recipe or data, or the folder is read-only.
        MissingExtra: the package of a tracker is not installed.
        RunChanged: the run is of another recipe or other data.
        RunInUse: another process or machine trains the run.
        Stopped: the disk is full, a step does not fit in memory, the loss is not a number, a second SIGINT came, or
            another process of the run has ended; what was saved is intact.
    """
    limits = Limits(stop_after_step, stop_after, stop_at)
    given = None if data_dir is None else user_path(data_dir)
    with joined_processes() as processes:
        run = (Run if processes.first else ReadOnlyRun)(run_dir)
        talking = observer if observer is not None and processes.first else Silent()
        asked = _Asked(with_whole_paths(recipe), given, mirror, trackers, fresh, accept_changes)
        with storage_errors(run):
            settled, data, sources = processes.from_first(lambda: _settle(run, asked, talking))
            places = runs_at_hand(run, settled.checkpoints.mirror_folder)
            day = processes.from_first(lambda: first_day(places) or date.today())
            call = Call(data, sources, limits, talking, processes, accept_changes, day)
            work = _train_each_task if settled.data.adapters == "per_task" else _train_one
            return replace(work(settled, run, call), first=processes.first)


@dataclass(frozen=True, slots=True)
class _Asked:
    """What a call of `train` asks for, as its arguments say."""

    recipe: Recipe
    data: Path | None
    mirror: str | Path | None
    trackers: Sequence[str] | None
    fresh: bool
    accept: bool


def _settle(run: Run, asked: _Asked, observer: Observer) -> tuple[Recipe, Path, tuple[str, ...]]:
    """With `fresh`, move an existing run aside once all else is right. Refuse a run a task whose recipe has changed.

    Returns:
        The recipe, with the mirror that is to be used; the data folder; where the user's own tasks are read from.
    """
    require_no_file(run)
    before = None if asked.fresh else run
    recipe = with_trackers(asked.recipe, before, asked.trackers)
    require_trackers(recipe)
    data, sources = _inputs(run, asked, observer)
    require_known_tasks(recipe, registry(sources))
    if asked.fresh:
        file_facts(data)
        require_place(run, with_given_mirror(recipe, asked.mirror).checkpoints.mirror_folder)
        move_aside(run)
    recipe = with_mirror(recipe, run, asked.mirror)
    require_place(run, recipe.checkpoints.mirror_folder)
    if asked.fresh:
        move_mirror_aside(run, recipe.checkpoints.mirror_folder)
    if recipe.data.adapters == "per_task" and run.exists():
        recipe_changes(run, recipe, accept=asked.accept)
    return recipe, data, sources


def _inputs(run: Run, asked: _Asked, observer: Observer) -> tuple[Path, tuple[str, ...]]:
    """Data folder and task files: those that are named, or the copies that the run has of them.

    A run that starts anew, or takes in changes, is made from what is named alone.
    """
    custom, named = asked.recipe.data.custom_tasks, asked.data
    if named is not None and (asked.fresh or asked.accept):
        return named, custom
    mirror = with_mirror(asked.recipe, run, asked.mirror).checkpoints.mirror_folder
    data = find_data(named, run, mirror)
    if named is not None and data != named:
        observer.stage(f"there are no data in {named}: reading the run's copy in {data}")
    sources = task_sources(custom, list(runs_at_hand(run, mirror)))
    for each, source in zip(custom, sources, strict=True):
        if each != source:
            observer.stage(f"there is no {each}: taking the run's copy in {source}")
    return data, sources


def _train_each_task(recipe: Recipe, run: Run, call: Call) -> TrainingResult:
    """One run a task, each in a folder of the task's name. A stop in one of them stops all."""
    parts: dict[str, TrainingResult] = {}
    for task in call.processes.from_first(
        lambda: tasks_to_train(call.data_dir, recipe, call.task_sources)
    ):
        own = recipe_of_task(recipe, task)
        if (mirror := recipe.checkpoints.mirror_folder) is not None:
            own = mirrored(own, mirror / run.path.name)
        call.observer.stage(f"adapter for {task}")
        parts[task] = _train_one(own, type(run)(run.path / task), call)
        if parts[task].state == "stopped" and parts[task].reason != "stop_after_step":
            break
    return combined(run.path, parts)


def _train_one(recipe: Recipe, run: Run, call: Call) -> TrainingResult:
    done = call.processes.from_first(lambda: _restore_and_check(recipe, run, call))
    if done is not None:
        return done
    with (
        run.lock(),
        CrashMarker(run.path, write=call.processes.first) as marker,
        Interrupt(call.observer.stage) as interrupt,
        TrackerProcesses(run.path, places_of(recipe) if call.processes.first else ()) as trackers,
    ):
        if call.processes.first and run.exists():
            keep_recipe(run, recipe, call.observer)
        try:
            while (
                done := _build_and_train(recipe, run, call, marker, interrupt, trackers)
            ) is None:
                release_memory()  # the objects of the state that was given up
        except KeyboardInterrupt:
            if interrupt.noted is None:
                raise
            raise _stopped_at_once(run) from None
        return done


def _restore_and_check(recipe: Recipe, run: Run, call: Call) -> TrainingResult | None:
    """Refuse what cannot be trained before anything new is written; the result of a run that has ended before."""
    bring_back(run, recipe, call.observer)
    require_run_folder(run)
    file_facts(call.data_dir)
    if not run.exists() or recipe_changes(run, recipe, accept=call.accept):
        return None
    done = finished_before(run)
    # A run that goes on is compared with its data once they are loaded.
    if done is None or other_files(run, call.data_dir, accept=call.accept):
        return None
    catch_up(run, recipe, call.data_dir, call.limits, call.observer)
    return done


def _build_and_train(
    recipe: Recipe,
    run: Run,
    call: Call,
    marker: CrashMarker,
    interrupt: Interrupt,
    trackers: TrackerProcesses,
) -> TrainingResult | None:
    """Build the run in its newest state and train; None when it has to be built again."""
    built = build_run(recipe, run, call, marker, trackers)
    training = built.training
    _announce(built, interrupt)
    if warning := machine_warning(run, recipe):
        training.log.write("warning", **warning)
    with storage_errors(run, training=True), training.checkpoints as checkpoints:
        try:
            _answer_crash(training)
            ending = run_steps(training, interrupt)
        except ReturnToCheckpoint:
            collect_outcomes(training, wait=True)
            return None
        finished = ending in {"finished", "early_stopping"}
        result = _finish(built, ending) if finished else _stop(built, interrupt, ending)
        settle_up(training, checkpoints, trackers, result.state)
        return result


def _answer_crash(training: Training) -> None:
    """Climb a rung when the processes before this one were probably killed for their memory."""
    crash = training.processes.from_first(lambda: training.marker.crash)
    if crash is None or crash.step >= training.order.total_steps:
        return
    training.marker.clear()
    samples = training.source.samples_of(crash.step)
    training.ladder.climb(samples, f"in step {crash.step + 1} the process was {crash.reason}")


def _stopped_at_once(run: Run) -> Stopped:
    saved = run.checkpoint_steps()
    with suppress(OSError):
        run.append_event("stopped", saved[-1] if saved else 0, reason="second SIGINT")
    return Stopped(
        "Stopped at once by a second SIGINT, without saving. "
        + (f"The checkpoint of step {saved[-1]} is intact." if saved else "Nothing was saved yet."),
        where=run.path,
        fix="To go on: run the same command again.",
    )


def _announce(built: BuiltRun, interrupt: Interrupt) -> None:
    """Write the event that starts or resumes the run; a new run measures its validation loss first."""
    training, total = built.training, built.training.order.total_steps
    started = training.processes.from_first(
        lambda: any(each.event == "started" for each in training.run.events())
    )
    if started:
        training.log.write("resumed", checkpoint=built.resumed, total_steps=total)
        return
    before, took = None, None
    # Later its journal must have been lost, and what the loss was before training is unknown.
    if training.state.step == 0:
        training.log.observer.stage("measuring the validation loss before training")
        start = perf_counter()
        measured = validation_loss(training, interrupt)
        if interrupt.agreed:
            return  # the next call starts the run
        took = None if measured is None else round(perf_counter() - start, 3)
        before = None if measured is None else measured.loss
    training.log.write(
        "started",
        total_steps=total,
        steps_per_epoch=training.order.steps_per_epoch,
        samples_per_epoch=training.order.samples_per_epoch,
        validation_loss=before if before is None or math.isfinite(before) else None,
        validation_seconds=took,
        trainable_parameters=sum(each.numel() for each in training.step.parameters),
        data=built.data.folder,
        skipped=built.data.skipped,
        unfit=built.data.unfit,
    )
    finite_or_told(training, before)


def _stop(built: BuiltRun, interrupt: Interrupt, ending: Ending) -> TrainingResult:
    training, state = built.training, built.training.state
    if ending == "signal":
        training.log.write("signal", signal=interrupt.agreed)
    elif ending != "time_limit" and state.validated_at < state.step:
        # For the reader only: it is no validation of the schedule, so it chooses no best and stops nothing.
        training.log.observer.stage("measuring the validation loss")
        measured = validation_loss(training, interrupt)
        loss = None if measured is None else measured.loss
        state.validation_loss = finite_or_told(training, loss)
    training.log.write("stopped", reason=ending, validation_loss=state.validation_loss)
    reason = interrupt.agreed if ending == "signal" and interrupt.agreed else ending
    return _result(built, "stopped", reason)


def _finish(built: BuiltRun, ending: Ending) -> TrainingResult:
    """Write `adapter/` from the best adapter, or the last one where none is the best."""
    training, run, state = built.training, built.training.run, built.training.state
    if not training.processes.first:
        return _result(built, "finished", ending)
    training.log.observer.stage("writing the adapter")
    shipped = shipped_adapter(training)
    facts = CardFacts(
        step=shipped.step,
        total_steps=training.order.total_steps,
        first_loss=first_loss(run),
        validation_loss=shipped.loss,
        seconds=state.seconds,
        environment=run.read_environment(),
        why_last=shipped.why,
        samples_per_epoch=training.order.samples_of_tasks,
    )
    write_adapter(run, shipped.files, built.tokenizer, training.recipe, built.data, facts)
    with suppress(OSError):
        remove_folder(run.cache)  # a finished run needs its samples no more
    result = replace(
        _result(built, "finished", ending),
        shipped=shipped.kind,
        shipped_step=shipped.step,
        shipped_why=shipped.why,
        curve=learning_curve(run),
    )
    training.log.write(
        "finished",
        reason=ending,
        total_steps=training.order.total_steps,
        validation_loss=state.validation_loss,
        best_step=shipped.step,
        best_loss=shipped.loss,
        adapter=shipped.kind,
        why=shipped.why,
        curve="unknown" if result.curve is None else result.curve.kind,
        seconds=round(state.seconds, 3),
        foresight=result.foresight,
    )
    return result


def _result(built: BuiltRun, ended: Literal["finished", "stopped"], reason: str) -> TrainingResult:
    training, state = built.training, built.training.state
    finished = ended == "finished"
    return TrainingResult(
        run=training.run.path,
        state=ended,
        reason=reason,
        step=state.step,
        total_steps=training.order.total_steps,
        first_loss=first_loss(training.run),
        validation_loss=state.validation_loss,
        best_step=state.best_step,
        best_loss=state.best_loss,
        adapter=training.run.adapter if finished else None,
        seconds=state.seconds,
        foresight=built.plan.beside(state.step, state.seconds, peak_memory_gb())
        if finished
        else {},
    )
