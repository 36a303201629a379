"""The training loop: steps, and after each what is due: validation, a line of metrics, a checkpoint.

It receives built objects and reads top to bottom. Every quantity that decides what comes next is in `Standing`, which
each checkpoint holds; so a stop at any step, wanted or not, changes nothing in the weights that come out. Several
processes run the same loop with the same standing; the first one writes.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from time import perf_counter
from typing import TYPE_CHECKING, Any, Literal, cast

from lexitrain.batching.sample_order import fixed_subset
from lexitrain.runs.folder import Run
from lexitrain.step import attempt, learning_rate_at
from lexitrain.training.metrics import Observer, Progress, Speed, Window
from lexitrain.training.prefetch import Prefetch
from lexitrain.training.recovery.checkpoint_content import AdapterFiles, Standing, checkpoint_files
from lexitrain.training.recovery.memory_ladder import (
    NeedsFourBitBase,
    OutOfRungs,
    climb,
    fitting_gradients,
    fitting_loss,
)
from lexitrain.training.recovery.non_finite import GoBack, require_number
from lexitrain.training.stopping import Limits

if TYPE_CHECKING:
    from lexitrain.batching.micro_batch import MicroBatch
    from lexitrain.batching.sample_order import SampleOrder
    from lexitrain.recipe.schema import Recipe
    from lexitrain.samples.loading import RunSamples
    from lexitrain.samples.sample import Sample
    from lexitrain.step import StepResult, TrainingStep
    from lexitrain.training.recovery.checkpoint_writer import Outcome, Writer
    from lexitrain.training.recovery.crash_marker import StepMark
    from lexitrain.training.recovery.shortening import Shortener
    from lexitrain.training.run_plan import Foresight
    from lexitrain.training.signals import Interrupt

Ending = Literal["finished", "early_stopping", "stop_after_step", "time_limit", "signal"]


@dataclass
class Training:
    """The objects of one run, built.

    Attributes:
        saved_at: step of the newest checkpoint, on the disk or on its way there.
    """

    run: Run
    recipe: Recipe
    corpus: RunSamples
    order: SampleOrder
    step: TrainingStep
    adapter: AdapterFiles
    checkpoints: Writer
    standing: Standing
    observer: Observer
    shortener: Shortener
    mark: StepMark
    foresight: Foresight
    saved_at: int | None = None
    limits: Limits = field(default_factory=Limits)
    speed: Speed = field(default_factory=Speed)

    def work(self, step: int) -> StepWork:
        """What step number `step` needs, as the ladder stands; background workers call this too."""
        rungs = self.rungs
        samples = [self.corpus.train[index] for index in self.order.samples(step)]
        return StepWork(samples, self.step.lay_out(samples), rungs)

    @property
    def rungs(self) -> tuple[int, int | None]:
        """Where the ladder stands; work that was made when it stood elsewhere is made again."""
        return self.standing.rung, self.standing.token_budget

    def event(self, event: str, **details: Any) -> None:
        """Write an event of the present step and tell the observer."""
        self.observer.event(self.run.append_event(event, self.standing.step, **details))

    def tell(self, outcomes: Sequence[Outcome]) -> None:
        """Write what happened behind the loop's back as events."""
        for each in outcomes:
            step = self.standing.step if each.step is None else each.step
            self.observer.event(self.run.append_event(each.event, step, **each.details))
            if each.event == "checkpoint":
                self.speed.writes.append(each.details["seconds"])


@dataclass(frozen=True, slots=True)
class StepWork:
    """What a background worker prepares for a step."""

    samples: Sequence[Sample]
    batches: Sequence[MicroBatch]
    rungs: tuple[int, int | None]


def run_steps(training: Training, interrupt: Interrupt) -> Ending:
    """Train until the end, early stopping, a limit, or a signal. A checkpoint is there on return.

    Raises:
        GoBack: the run is to be built again from its newest checkpoint.
        Stopped: a step does not fit in memory, or loss or gradient is not a number; what was trained is saved.
        OSError: the run folder cannot be written.
    """
    standing, processes = training.standing, training.step.processes
    total, workers = training.order.total_steps, training.recipe.data.workers

    def failed(error: Exception) -> None:
        training.event("worker", problem=f"{type(error).__name__}: {error}")

    with Prefetch(training.work, standing.step, total, workers, failed) as ahead:
        try:
            _close_step(training, interrupt)  # what a stop right after this step left undone
            while not (_ended(training) or _limit_reached(training) or interrupt.agree(processes)):
                _take_step(training, ahead)
                _close_step(training, interrupt)
        except (NeedsFourBitBase, OutOfRungs):
            _save_checkpoint(training)
            training.tell(training.checkpoints.outcomes(wait=True))
            raise
    _save_checkpoint(training)
    training.tell(training.checkpoints.outcomes(wait=True))
    if interrupt.agreed:
        return "signal"
    if standing.step >= total:
        return "finished"
    if _ended(training):
        return "early_stopping"
    return "stop_after_step" if training.limits.step_reached(standing.step) else "time_limit"


def validation_loss(training: Training, interrupt: Interrupt) -> float | None:
    """Mean token loss of the validation samples, nats. None: there are none, or a signal came in between."""
    samples, recipe, processes = (
        training.corpus.validation,
        training.recipe,
        training.step.processes,
    )
    chosen = fixed_subset(len(samples), recipe.validation.limit, recipe.seed)
    size = recipe.step.effective_batch
    total, tokens = 0.0, 0
    for start in range(processes.rank * size, len(chosen), processes.count * size):
        if interrupt.noted:
            break
        part = [samples[index] for index in chosen[start : start + size]]
        loss, supervised = fitting_loss(training, part)
        total += loss
        tokens += supervised
    if interrupt.agree(processes):
        return None
    total, tokens = processes.sums([total, tokens])
    return total / tokens if tokens else None


def _take_step(training: Training, ahead: Prefetch[StepWork]) -> None:
    standing, recipe, window = training.standing, training.recipe, training.standing.window
    start = perf_counter()
    training.mark.begin(standing.step)
    work = ahead.next()
    waited = perf_counter() - start
    if standing.step in standing.left_out:
        standing.step += 1
        return
    if work.rungs != training.rungs:
        work = training.work(standing.step)
    rate = learning_rate_at(
        standing.step,
        training.order.total_steps,
        recipe.schedule,
        recipe.optimizer.learning_rate,
    )
    result = fitting_gradients(training, work)
    require_number(training, "loss", result.loss, work.samples)
    norm = _update(training, rate, work.samples)
    require_number(training, "gradient norm", norm, work.samples)
    seconds = perf_counter() - start

    standing.step += 1
    standing.seconds += seconds
    window.steps += 1
    window.samples += len(work.samples)
    window.loss_sum += result.loss * result.supervised_tokens
    window.supervised_tokens += result.supervised_tokens
    window.layout_tokens += result.layout_tokens
    window.seconds += seconds
    window.data_wait_seconds += waited
    window.learning_rate = rate
    window.grad_norm = norm
    training.speed.steps.append((seconds, result.layout_tokens))
    limit = standing.losses.is_spike(result.loss)
    if limit is not None:
        rows = sorted(sample.index for sample in work.samples)
        training.event("spike", loss=result.loss, threshold=limit, rows=rows)
    training.observer.progress(_progress(training, result))


def _update(training: Training, rate: float, samples: Sequence[Sample]) -> float:
    """Step the optimizer. When that runs out of memory the weights may be moved in part: one rung up, and back."""
    norm, problem = attempt(lambda: training.step.update(rate))
    if training.step.processes.any(problem is not None):
        with suppress(NeedsFourBitBase):  # which would save the present weights
            climb(training, samples, problem or "memory ran out in another process")
        raise GoBack
    return cast(float, norm)


def _close_step(training: Training, interrupt: Interrupt) -> None:
    """Do what is due after the present step and has not been done for it."""
    training.tell(training.checkpoints.outcomes())
    standing, step = training.standing, training.standing.step
    if step == 0:
        return
    validate = _due(training, _validation_every(training.recipe)) and standing.validated_at < step
    if validate and not _validate(training, interrupt):
        return  # stopped by a signal: the checkpoint says what is still to do
    measured = standing.validated_at == step and standing.validation_loss is not None
    log = _due(training, training.recipe.log_every) or measured
    if log and standing.logged_at < step and standing.window.steps:
        loss = standing.validation_loss if measured else None
        epoch = step / training.order.steps_per_epoch
        training.run.append_metrics(standing.window.metrics(step, epoch, loss))
        standing.window, standing.logged_at = Window(), step
    if _due(training, training.recipe.checkpoints.every):
        _save_checkpoint(training)


def _validate(training: Training, interrupt: Interrupt) -> bool:
    """Measure the validation loss and keep the adapter if it is the best; False when a signal came in between."""
    standing = training.standing
    start = perf_counter()
    training.observer.stage("validating")
    loss = validation_loss(training, interrupt)
    if loss is None and interrupt.agreed:
        return False
    standing.validated_at, standing.validation_loss = standing.step, loss
    training.speed.validations.append(perf_counter() - start)
    if loss is None:
        return True
    if standing.best_loss is None or loss < standing.best_loss:
        standing.best_step, standing.best_loss = standing.step, loss
        standing.validations_without_gain = 0
        if training.step.processes.first:
            files = training.adapter.contents()
            training.checkpoints.save_best(standing.step, files, {"validation_loss": loss})
    else:
        standing.validations_without_gain += 1
    return True


def _save_checkpoint(training: Training) -> None:
    """Save the present step, unless it is saved already."""
    standing = training.standing
    if standing.step == training.saved_at:
        return
    training.saved_at = standing.step
    if not training.step.processes.first:
        return
    start = perf_counter()
    files = checkpoint_files(
        training.adapter,
        training.step.model,
        training.step.optimizer,
        standing,
        training.order.cursor(standing.step),
        training.step.loss_scale,
    )
    training.checkpoints.save(standing.step, files, validation_loss=standing.validation_loss)
    training.speed.checkpoints.append(perf_counter() - start)


def _ended(training: Training) -> bool:
    patience = training.recipe.schedule.early_stopping
    stale = training.standing.validations_without_gain
    return training.standing.step >= training.order.total_steps or (
        patience is not None and stale >= patience
    )


def _limit_reached(training: Training) -> bool:
    step = training.standing.step
    validates = (step + 1) % _validation_every(training.recipe) == 0
    limits = training.limits
    if limits.step_reached(step) or not limits.timed:
        return limits.step_reached(step)
    validates = validates or step + 1 == training.order.total_steps
    # Clocks differ between processes; all stop at the same step.
    return training.step.processes.any(limits.time_is_up(training.speed, validation_due=validates))


def _due(training: Training, every: int) -> bool:
    step = training.standing.step
    return step % every == 0 or step == training.order.total_steps


def _validation_every(recipe: Recipe) -> int:
    return recipe.validation.every or recipe.checkpoints.every


def _progress(training: Training, result: StepResult) -> Progress:
    standing, order, recipe = training.standing, training.order, training.recipe
    left = order.total_steps - standing.step
    return Progress(
        step=standing.step,
        total_steps=order.total_steps,
        epoch=standing.step / order.steps_per_epoch,
        loss=result.loss,
        validation_loss=standing.validation_loss,
        tokens_per_second=training.speed.tokens_per_second,
        seconds_left=training.speed.seconds_left(
            left,
            math.ceil(left / _validation_every(recipe)),
            math.ceil(left / recipe.checkpoints.every),
        ),
    )
