"""The training loop: steps, and after each what is due: validation, a line of metrics, a checkpoint.

It receives built objects and reads top to bottom. Every quantity that decides what comes next is in `TrainingState`,
which each checkpoint holds; so a stop at any step, wanted or not, changes nothing in the weights that come out. Several
processes run the same loop with the same state; the first one writes.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from time import perf_counter
from typing import TYPE_CHECKING, Literal, cast

from lexitrain.step import attempt, learning_rate_at
from lexitrain.storage import ProcessorTime
from lexitrain.training.event_log import Progress
from lexitrain.training.metrics import Speed, StepTimes, Window, peak_memory_gb
from lexitrain.training.recovery.checkpoint_content import AdapterFiles, checkpoint_files
from lexitrain.training.recovery.memory_ladder import NeedsFourBitBase, OutOfRungs
from lexitrain.training.recovery.state import ReturnToCheckpoint
from lexitrain.training.step_work import Prefetch
from lexitrain.training.stopping import Limits
from lexitrain.training.validation import ValidationLoss, measured_loss
from lexitrain.watching import STEPS_FOR_A_BAND, TrackerProcesses

if TYPE_CHECKING:
    from lexitrain.batching import SampleOrder
    from lexitrain.recipe import Recipe
    from lexitrain.runs import Run
    from lexitrain.samples import Sample
    from lexitrain.step import Processes, StepResult, TrainingStep
    from lexitrain.training.event_log import EventLog
    from lexitrain.training.recovery.checkpoint_writer import CheckpointWriter
    from lexitrain.training.recovery.crash_marker import CrashMarker
    from lexitrain.training.recovery.memory_ladder import MemoryLadder
    from lexitrain.training.recovery.non_finite import NonFiniteGuard
    from lexitrain.training.recovery.state import TrainingState
    from lexitrain.training.step_work import StepSource, StepWork
    from lexitrain.training.stopping import Interrupt

Ending = Literal["finished", "early_stopping", "stop_after_step", "time_limit", "signal"]


@dataclass
class Training:
    """The objects of one run, built.

    Attributes:
        recipe: as the user gave it; the settings that it leaves open are decided in `step`.
        validation: the validation samples.
        order: which training samples a step takes.
        step: gradients and updates.
        source: the work of each step.
        ladder: gets gradients and losses however little memory there is.
        guard: watches for losses and gradients that are not numbers.
        adapter: the adapter's files as they are now.
        checkpoints: writes what is saved.
        state: where the run stands.
        log: its events.
        marker: says on disk which step this process is in.
        limits: where this call stops before the end.
        speed: what steps, validations and checkpoints took.
        times: of the steps since the last line of metrics.
        saved_at: step of the newest checkpoint, on the disk or on its way there.
        trackers: the processes that tell the run's trackers.
        task_losses: the last validation loss of each task that this call has measured.
    """

    recipe: Recipe
    validation: Sequence[Sample]
    order: SampleOrder
    step: TrainingStep
    source: StepSource
    ladder: MemoryLadder
    guard: NonFiniteGuard
    adapter: AdapterFiles
    checkpoints: CheckpointWriter
    state: TrainingState
    log: EventLog
    marker: CrashMarker
    trackers: TrackerProcesses
    limits: Limits = field(default_factory=Limits)
    speed: Speed = field(default_factory=Speed)
    times: StepTimes = field(default_factory=StepTimes)
    saved_at: int | None = None
    task_losses: Mapping[str, float] = field(default_factory=dict[str, float])

    @property
    def run(self) -> Run:
        """The run's folder."""
        return self.log.run

    @property
    def processes(self) -> Processes:
        """Those that train together."""
        return self.step.processes


def run_steps(training: Training, interrupt: Interrupt) -> Ending:
    """Train until the end, early stopping, a limit, or a signal. A checkpoint is there on return.

    Raises:
        ReturnToCheckpoint: the run is to be built again from its newest checkpoint.
        Stopped: a step does not fit in memory, or loss or gradient is not a number; what was trained is saved.
        OSError: the run folder cannot be written.
    """
    state, processes = training.state, training.processes
    total, workers = training.order.total_steps, training.recipe.data.workers

    def failed(error: Exception) -> None:
        training.log.write("worker", problem=f"{type(error).__name__}: {error}")

    with Prefetch(training.source.work, state.step, total, workers, failed) as ahead:
        try:
            _close_step(training, interrupt)  # what a stop right after this step left undone
            while not (_ended(training) or _limit_reached(training) or interrupt.agree(processes)):
                _take_step(training, ahead)
                _close_step(training, interrupt)
        except (NeedsFourBitBase, OutOfRungs):
            _save_checkpoint(training)
            collect_outcomes(training, wait=True)
            raise
    _save_checkpoint(training)
    collect_outcomes(training, wait=True)
    if interrupt.agreed:
        return "signal"
    if state.step >= total:
        return "finished"
    if _ended(training):
        return "early_stopping"
    return "stop_after_step" if training.limits.step_reached(state.step) else "time_limit"


def validation_loss(training: Training, interrupt: Interrupt) -> ValidationLoss | None:
    """The loss of the run's validation samples; None: there are none, or a signal came in between."""
    return measured_loss(
        training.validation, training.recipe, training.ladder, training.processes, interrupt
    )


def _take_step(training: Training, ahead: Prefetch[StepWork]) -> None:
    state, recipe, window = training.state, training.recipe, training.state.window
    start, processor = perf_counter(), ProcessorTime.now()
    training.marker.begin(state.step)
    work = ahead.next()
    waited = perf_counter() - start
    if state.step in state.left_out:
        state.step += 1
        return
    work = training.source.current(work, state.step)
    rate = learning_rate_at(
        state.step,
        training.order.total_steps,
        recipe.schedule,
        recipe.optimizer.learning_rate,
    )
    result = training.ladder.gradients(work)
    while training.step.notes:
        training.log.write("warning", what=training.step.notes.pop(0), fix="")
    training.guard.require_finite("loss", result.loss, work.samples)
    norm = _update(training, rate, work.samples)
    training.guard.require_finite("gradient norm", norm, work.samples)
    seconds = perf_counter() - start

    state.step += 1
    state.seconds += seconds
    window.steps += 1
    window.samples += len(work.samples)
    window.loss_sum += result.loss * result.supervised_tokens
    window.supervised_tokens += result.supervised_tokens
    window.layout_tokens += result.layout_tokens
    window.seconds += seconds
    window.data_wait_seconds += waited
    training.times.add(seconds, *processor.since())
    window.learning_rate = rate
    window.grad_norm = norm
    training.speed.steps.append((seconds, result.layout_tokens))
    training.speed.fed.append((len(work.samples), waited))
    limit = state.losses.is_spike(result.loss)
    if limit is not None:
        rows = sorted(sample.index for sample in work.samples)
        training.log.write("spike", loss=result.loss, threshold=limit, rows=rows)
    training.log.observer.progress(_progress(training, result))


def _update(training: Training, rate: float, samples: Sequence[Sample]) -> float:
    """Step the optimizer. When that runs out of memory, some weights may have moved: climb a rung, then return to the
    checkpoint."""
    norm, problem = attempt(lambda: training.step.update(rate))
    if training.processes.any(problem is not None):
        with suppress(NeedsFourBitBase):  # which would save the present weights
            training.ladder.climb(samples, problem or "memory ran out in another process")
        raise ReturnToCheckpoint
    return cast(float, norm)


def _close_step(training: Training, interrupt: Interrupt) -> None:
    """Do what is due after the present step and has not been done for it."""
    collect_outcomes(training)
    state, step = training.state, training.state.step
    if step == 0:
        return
    validate = _due(training, training.recipe.validation_every) and state.validated_at < step
    if validate and not _validate(training, interrupt):
        return  # stopped by a signal: the checkpoint says what is still to do
    measured = state.validated_at == step and len(training.validation) > 0
    log = _due(training, training.recipe.log_every) or measured
    if log and state.logged_at < step and state.window.steps:
        loss = state.validation_loss
        loss = None if not measured else math.nan if loss is None else loss
        epoch = step / training.order.steps_per_epoch
        by_task = training.task_losses if measured else {}
        times = training.times.of_line(state.window.steps)
        if measured and training.speed.validations:
            times["validation_seconds"] = round(training.speed.validations[-1], 3)
        training.run.append_metrics(state.window.metrics(step, epoch, loss, by_task, times))
        training.times = StepTimes()
        state.window, state.logged_at = Window(), step
    if _due(training, training.recipe.checkpoints.every):
        _save_checkpoint(training)


def _validate(training: Training, interrupt: Interrupt) -> bool:
    """Measure the validation loss and keep the adapter if it is the best; False when a signal came in between."""
    state = training.state
    start = perf_counter()
    training.log.observer.stage("validating")
    measured = validation_loss(training, interrupt)
    if measured is None and interrupt.agreed:
        return False
    loss = None if measured is None else measured.loss
    training.task_losses = {} if measured is None else measured.by_task
    training.speed.validations.append(perf_counter() - start)
    if state.take_validation(loss) and training.processes.first:
        files = training.adapter.contents()
        training.checkpoints.save_best(state.step, files, {"validation_loss": loss})
    finite_or_told(training, loss)
    return True


def finite_or_told(training: Training, loss: float | None) -> float | None:
    """A measured validation loss; None, and an event, where it is not a number."""
    if loss is None or math.isfinite(loss):
        return loss
    training.log.write("validation_nan", value=str(loss), samples=len(training.validation))
    return None


def _save_checkpoint(training: Training) -> None:
    """Save the present step, unless it is saved already."""
    state = training.state
    if state.step == training.saved_at:
        return
    training.saved_at = state.step
    if not training.processes.first:
        return
    start = perf_counter()
    files = checkpoint_files(
        training.adapter,
        training.step.model,
        training.step.optimizer,
        state,
        training.order.cursor(state.step),
        training.step.loss_scale,
    )
    training.checkpoints.save(state.step, files, validation_loss=state.validation_loss)
    seconds = perf_counter() - start
    training.speed.checkpoints.append(seconds)
    training.speed.waited[state.step] = seconds


def _ended(training: Training) -> bool:
    patience = training.recipe.schedule.early_stopping
    stale = training.state.validations_without_gain
    return training.state.step >= training.order.total_steps or (
        patience is not None and stale >= patience
    )


def _limit_reached(training: Training) -> bool:
    step = training.state.step
    validates = (step + 1) % training.recipe.validation_every == 0
    limits = training.limits
    if limits.step_reached(step) or not limits.timed:
        return limits.step_reached(step)
    validates = validates or step + 1 == training.order.total_steps
    # Clocks differ between processes; all stop at the same step.
    return training.processes.any(
        limits.time_is_up(
            training.speed,
            validation_due=validates,
            writing=training.checkpoints.waiting_seconds(),
            mirror=training.checkpoints.mirror_seconds(),
        )
    )


def collect_outcomes(training: Training, *, wait: bool = False) -> None:
    """Write what the background threads have done as events, and remember how long writing took.

    Args:
        training: whose checkpoints are written.
        wait: until all that was handed over is on the disk.

    Raises:
        OSError: a checkpoint could not be written.
    """
    outcomes = training.checkpoints.outcomes(wait=wait)
    written = [each for each in outcomes if each.event == "checkpoint"]
    for each in written:
        each.details["loop_seconds"] = round(training.speed.waited.pop(each.step or 0, 0.0), 4)
        if mirror := training.checkpoints.mirror_seconds():
            each.details["mirror_seconds"] = round(mirror, 3)
    training.log.write_outcomes(outcomes)
    for said in training.trackers.news():
        training.log.write("tracker", **said)
    training.speed.writes += [each.details["seconds"] for each in written]


def _due(training: Training, every: int) -> bool:
    step = training.state.step
    return step % every == 0 or step == training.order.total_steps


def _progress(training: Training, result: StepResult) -> Progress:
    state, order, recipe = training.state, training.order, training.recipe
    steps = order.total_steps - state.step
    left = training.speed.left(
        steps,
        math.ceil(steps / recipe.validation_every),
        math.ceil(steps / recipe.checkpoints.every),
    )
    return Progress(
        step=state.step,
        total_steps=order.total_steps,
        epoch=state.step / order.steps_per_epoch,
        loss=result.loss,
        validation_loss=state.validation_loss,
        tokens_per_second=training.speed.tokens_per_second,
        seconds_left=None if left is None else left.expected,
        left=left if len(training.speed.steps) >= STEPS_FOR_A_BAND else None,
        samples_per_second=training.speed.samples_per_second,
        data_wait=training.speed.data_wait,
        memory_gb=round(peak_memory_gb(), 3),
    )
