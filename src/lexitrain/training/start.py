"""`train`: start a run or go on with it, and bring it to its end.

The checks that need no model come first, so that a mistake costs a second: the folder, the recipe, the data. Then the
objects are built (tokenizer, samples, model with adapter, optimizer, step), the newest valid checkpoint is put into
them, and the loop takes over. Where a launcher started several processes, all of them come through here; what concerns
the folder is decided by the first.
"""

from __future__ import annotations

from contextlib import suppress
from dataclasses import dataclass, replace
from datetime import datetime
from pathlib import Path
from typing import Any, Literal

from lexitrain.errors import InputError, Stopped
from lexitrain.models.adapter import CONFIG_FILE, WEIGHTS_FILE
from lexitrain.recipe.schema import Recipe
from lexitrain.runs.disk_errors import storage_errors
from lexitrain.runs.folder import Run
from lexitrain.runs.read_only import Witness
from lexitrain.samples.data_files import file_differences, file_facts, other_data
from lexitrain.samples.loading import require_known_tasks
from lexitrain.step import Processes, joined_processes, release_memory
from lexitrain.storage.atomic import remove_folder
from lexitrain.tasks import registry
from lexitrain.training.build import build_training
from lexitrain.training.final_adapter import CardFacts, write_adapter
from lexitrain.training.loop import Ending, Training, run_steps, validation_loss
from lexitrain.training.metrics import Observer, Silent, peak_memory_gb
from lexitrain.training.per_task import recipe_of_task, tasks_to_train
from lexitrain.training.recovery.accepted_changes import keep_recipe, recipe_changes
from lexitrain.training.recovery.crash_marker import StepMark
from lexitrain.training.recovery.memory_ladder import climb
from lexitrain.training.recovery.mirror_restore import bring_back, move_aside, move_mirror_aside
from lexitrain.training.recovery.non_finite import GoBack
from lexitrain.training.recovery.notebook_machine import machine_warning, mirrored, with_mirror
from lexitrain.training.result import TrainingResult, combined
from lexitrain.training.signals import Interrupt
from lexitrain.training.stopping import Limits

_OTHER = "Give another --run folder; one that does not exist yet is made."


def train(
    recipe: Recipe,
    data_dir: str | Path,
    run_dir: str | Path,
    *,
    stop_after_step: int | None = None,
    stop_after: float | None = None,
    stop_at: datetime | None = None,
    mirror: str | Path | None = None,
    fresh: bool = False,
    accept_changes: bool = False,
    observer: Observer | None = None,
) -> TrainingResult:
    """Train by a recipe, going on from the newest valid checkpoint where the run exists.

    Args:
        recipe: what to train.
        data_dir: folder with train.jsonl and, for validation, validation.jsonl.
        run_dir: the run's folder, made where missing.
        stop_after_step: save and stop after this step; the schedule stays that of the whole run.
        stop_after: save and stop within this time, seconds from now.
        stop_at: save and stop before this moment.
        mirror: folder for copies of the run, instead of the recipe's `checkpoints.mirror`. A run whose own folder is
            missing goes on from there.
        fresh: move an existing run aside and start anew.
        accept_changes: go on with another recipe or other data than the run was started with.
        observer: is told what happens.

    Raises:
        InputError: wrong folder, recipe or data; the run is of another recipe or other data; the folder is read-only.
        Stopped: the disk is full, a step does not fit in memory, the loss is not a number, a second SIGINT came, or
            another process of the run has ended; what was saved is intact.
    """
    limits = Limits(stop_after_step, stop_after, stop_at)
    with joined_processes() as processes:
        run = (Run if processes.first else Witness)(run_dir)
        talking = observer if observer is not None and processes.first else Silent()
        call = _Call(Path(data_dir), limits, talking, processes, accept_changes)
        with storage_errors(run):
            settled = processes.from_first(lambda: _clear(run, recipe, call, mirror, fresh))
            work = _train_each_task if settled.data.adapters == "per_task" else _train_one
            return replace(work(settled, run, call), first=processes.first)


@dataclass(frozen=True, slots=True)
class _Call:
    """What is the same for all runs of one call of `train`."""

    data_dir: Path
    limits: Limits
    observer: Observer
    processes: Processes
    accept: bool


def _clear(run: Run, recipe: Recipe, call: _Call, mirror: str | Path | None, fresh: bool) -> Recipe:
    """Move an existing run aside where that is asked for and the rest is right; refuse a run of runs by another recipe.

    Returns:
        The recipe, with the mirror that is to be used.
    """
    if run.path.exists() and not run.path.is_dir():
        raise InputError("This is a file, not the folder of a run.", where=run.path, fix=_OTHER)
    require_known_tasks(recipe, registry(recipe.data.custom_tasks))
    if fresh:
        file_facts(call.data_dir)
        move_aside(run)
    recipe = with_mirror(recipe, run, mirror)
    if fresh:
        move_mirror_aside(run, recipe.checkpoints.mirror_folder)
    if recipe.data.adapters == "per_task" and run.exists():
        recipe_changes(run, recipe, accept=call.accept)
    return recipe


def _train_each_task(recipe: Recipe, run: Run, call: _Call) -> TrainingResult:
    """One run a task, each in a folder of the task's name. A stop in one of them stops all."""
    parts: dict[str, TrainingResult] = {}
    for task in call.processes.from_first(lambda: tasks_to_train(call.data_dir, recipe)):
        own = recipe_of_task(recipe, task)
        if (mirror := recipe.checkpoints.mirror_folder) is not None:
            own = mirrored(own, mirror / run.path.name)
        call.observer.stage(f"adapter for {task}")
        parts[task] = _train_one(own, type(run)(run.path / task), call)
        if parts[task].state == "stopped" and parts[task].reason != "stop_after_step":
            break
    return combined(run.path, parts)


def _train_one(recipe: Recipe, run: Run, call: _Call) -> TrainingResult:
    done = call.processes.from_first(lambda: _checked(recipe, run, call))
    if done is not None:
        return done
    with (
        run.lock(),
        StepMark(run.path, write=call.processes.first) as mark,
        Interrupt(call.observer.stage) as interrupt,
    ):
        if call.processes.first and run.exists():
            keep_recipe(run, recipe, call.observer)
        try:
            while (done := _course(recipe, run, call, mark, interrupt)) is None:
                release_memory()  # the objects of the course that was given up
        except KeyboardInterrupt:
            if interrupt.noted is None:
                raise
            raise _stopped_at_once(run) from None
        return done


def _course(
    recipe: Recipe, run: Run, call: _Call, mark: StepMark, interrupt: Interrupt
) -> TrainingResult | None:
    """Build the run in its newest state and train; None when it has to be built again."""
    training, tokenizer, resumed = build_training(
        recipe, call.data_dir, run, call.observer, call.limits, mark, call.processes, call.accept
    )
    _announce(training, interrupt, resumed)
    if warning := machine_warning(run, recipe):
        training.event("warning", **warning)
    with storage_errors(run, training=True), training.checkpoints as checkpoints:
        try:
            _answer_crash(training)
            ending = run_steps(training, interrupt)
        except GoBack:
            training.tell(checkpoints.outcomes(wait=True))
            return None
        if ending in {"finished", "early_stopping"}:
            result = _finish(training, tokenizer, ending)
        else:
            result = _stop(training, interrupt, ending)
        training.tell(checkpoints.flush_mirror())
        return result


def _checked(recipe: Recipe, run: Run, call: _Call) -> TrainingResult | None:
    """Refuse what cannot be trained before anything new is written; the result of a run that has ended before."""
    bring_back(run, recipe, call.observer)
    if not run.exists() and not run.is_empty():
        raise InputError(
            "This folder holds something else than a run.",
            where=run.path,
            fix=_OTHER,
        )
    files = file_facts(call.data_dir)
    if not run.exists():
        return None
    if recipe_changes(run, recipe, accept=call.accept):
        return None
    done = _finished(run)
    if done is None:  # one that goes on is held against its data when they have been read
        return None
    other = file_differences(run.read_data().files, files)
    if other and not call.accept:
        raise other_data(other, call.data_dir)
    return None if other else done


def _answer_crash(training: Training) -> None:
    """Climb a rung when the processes before this one were probably killed for their memory."""
    crash = training.step.processes.from_first(lambda: training.mark.crash)
    if crash is None or crash.step >= training.order.total_steps:
        return
    training.mark.clear()
    samples = [training.corpus.train[each] for each in training.order.samples(crash.step)]
    climb(training, samples, f"in step {crash.step + 1} the process was {crash.reason}")


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


def _announce(training: Training, interrupt: Interrupt, resumed: str | None) -> None:
    """Write the event that starts or resumes the run; a new run measures its validation loss first."""
    total, processes = training.order.total_steps, training.step.processes
    started = processes.from_first(
        lambda: any(each.event == "started" for each in training.run.events())
    )
    if started:
        training.event("resumed", checkpoint=resumed, total_steps=total)
        return
    before = None
    # Later its journal must have been lost, and what the loss was before training is unknown.
    if training.standing.step == 0:
        training.observer.stage("measuring the validation loss before training")
        before = validation_loss(training, interrupt)
        if interrupt.agreed:
            return  # the next call starts the run
    training.event(
        "started",
        total_steps=total,
        steps_per_epoch=training.order.steps_per_epoch,
        samples_per_epoch=training.order.samples_per_epoch,
        validation_loss=before,
        trainable_parameters=sum(each.numel() for each in training.step.parameters),
        data=training.corpus.summary.folder,
        skipped=training.corpus.summary.skipped,
    )


def _stop(training: Training, interrupt: Interrupt, ending: Ending) -> TrainingResult:
    standing = training.standing
    if ending == "signal":
        training.event("signal", signal=interrupt.agreed)
    elif ending != "time_limit" and standing.validated_at < standing.step:
        # For the reader only: it is no validation of the schedule, so it chooses no best and stops nothing.
        training.observer.stage("measuring the validation loss")
        standing.validation_loss = validation_loss(training, interrupt)
    training.event("stopped", reason=ending, validation_loss=standing.validation_loss)
    reason = interrupt.agreed if ending == "signal" and interrupt.agreed else ending
    return _result(training, "stopped", reason)


def _finish(training: Training, tokenizer: Any, ending: Ending) -> TrainingResult:
    """Write `adapter/` from the best adapter, or the last one where nothing was validated."""
    run, standing = training.run, training.standing
    if not training.step.processes.first:
        return _result(training, "finished", ending)
    training.observer.stage("writing the adapter")
    best = training.checkpoints.best(
        lambda path, reason: training.event("broken", checkpoint=path.name, reason=reason),
        standing.best_step,
    )
    step, loss = standing.step, standing.validation_loss
    files = training.adapter.contents()
    if best is not None:
        step, loss = best.step, best.note["validation_loss"]
        files = {name: best.files[name] for name in (WEIGHTS_FILE, CONFIG_FILE)}
    facts = CardFacts(
        step=step,
        total_steps=training.order.total_steps,
        first_loss=_first_loss(run),
        validation_loss=loss,
        seconds=standing.seconds,
        environment=run.read_environment(),
    )
    write_adapter(run, files, tokenizer, training.recipe, training.corpus.summary, facts)
    with suppress(OSError):
        remove_folder(run.cache)  # a finished run needs its samples no more
    result = _result(training, "finished", ending)
    training.event(
        "finished",
        reason=ending,
        total_steps=training.order.total_steps,
        validation_loss=standing.validation_loss,
        best_step=step,
        best_loss=loss,
        seconds=round(standing.seconds, 3),
        foresight=result.foresight,
    )
    return result


def _result(
    training: Training, state: Literal["finished", "stopped"], reason: str
) -> TrainingResult:
    standing = training.standing
    return TrainingResult(
        run=training.run.path,
        state=state,
        reason=reason,
        step=standing.step,
        total_steps=training.order.total_steps,
        first_loss=_first_loss(training.run),
        validation_loss=standing.validation_loss,
        best_step=standing.best_step,
        best_loss=standing.best_loss,
        adapter=training.run.adapter if state == "finished" else None,
        seconds=standing.seconds,
        foresight=_foresight(training) if state == "finished" else {},
    )


def _foresight(training: Training) -> dict[str, dict[str, float]]:
    standing = training.standing
    return training.foresight.beside(standing.step, standing.seconds, peak_memory_gb())


def _finished(run: Run) -> TrainingResult | None:
    """The result of a run that has reached its end before, and was not changed since."""
    ends = (each for each in reversed(run.events()) if each.event in {"finished", "accepted"})
    last = next(ends, None)
    if last is None or last.event == "accepted" or not (run.adapter / WEIGHTS_FILE).is_file():
        return None
    return TrainingResult(
        run=run.path,
        state="finished",
        reason="already_finished",
        step=last.step,
        total_steps=last.details["total_steps"],
        first_loss=_first_loss(run),
        validation_loss=last.details["validation_loss"],
        best_step=last.details["best_step"],
        best_loss=last.details["best_loss"],
        adapter=run.adapter,
        seconds=last.details["seconds"],
        foresight=last.details.get("foresight", {}),
    )


def _first_loss(run: Run) -> float | None:
    started = next((each for each in run.events() if each.event == "started"), None)
    return None if started is None else started.details["validation_loss"]
