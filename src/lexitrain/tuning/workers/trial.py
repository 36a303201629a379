"""One trial: a run like any other, and what is kept of it."""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Sequence
from statistics import fmean
from typing import TYPE_CHECKING

from lexitrain.errors import (
    DataError,
    DeviceError,
    InputError,
    ModelError,
    RecipeError,
    RunInUse,
    TaskError,
)
from lexitrain.runs import Run
from lexitrain.samples import hash_of
from lexitrain.step import attempt, release_memory
from lexitrain.training import NotANumber, OutOfRungs, TrainingResult, train
from lexitrain.tuning.designs.unit import Outcome

if TYPE_CHECKING:
    from lexitrain.training import Observer
    from lexitrain.tuning.designs.unit import Changes
    from lexitrain.tuning.study.study import Taken
    from lexitrain.tuning.workers.job import Job, Part

_REFUSED_FOR: dict[type[InputError], tuple[str, ...]] = {
    RecipeError: ("",),
    ModelError: ("model.", "lora.targets", "lora.init", "lora.layers"),
    DeviceError: ("model.", "step."),
    DataError: ("data.", "step."),
    TaskError: ("data.",),
}
"""Kind of error -> sections whose fields can be its cause."""

_PATIENCE = 2.0
"""Seconds between two tries where another process still holds the run."""


def run_trial(
    job: Job, taken: Taken, observer: Observer, say: Callable[[str], None]
) -> Outcome | None:
    """Train a taken trial to its share, going on from where its run stands.

    What concerns this recipe alone (a loss that is not a number, memory that is too small, a value that the base or the
    device does not allow) is the trial's outcome; every other error is one of the study.

    Returns:
        What came of it; None where a signal stopped it, saved.

    Raises:
        Stopped, InputError: as `train`.
    """
    start = time.monotonic()
    _forget_peak()
    results: list[TrainingResult] = []
    problem: str | None = None
    for part in job.parts_of(taken.unit, taken.run):
        result, problem = _trained(job, part, taken.unit.changes, observer, say)
        if result is None:
            break
        if result.state == "stopped" and result.reason != "stop_after_step":
            return None
        results.append(result)
        if _loss(result) is None:
            problem = "it has no validation loss, or one that is not a number"
            break
    seconds = time.monotonic() - start
    hours = seconds / job.workers / 3600
    if problem is not None:
        return Outcome(
            taken.unit, taken.run, "failed", seconds=seconds, hours=hours, reason=problem
        )
    runs = [Run(each.run) for each in results]
    return Outcome(
        unit=taken.unit,
        run=taken.run,
        state="finished",
        loss=fmean(loss for each in results if (loss := _loss(each)) is not None),
        last_loss=fmean(
            each.validation_loss for each in results if each.validation_loss is not None
        )
        if all(each.validation_loss is not None for each in results)
        else None,
        steps=sum(each.step for each in results),
        seconds=max(seconds, sum(each.seconds for each in results)),
        hours=hours,
        memory_gb=_peak(results, runs),
        parameters=sum(_parameters(run) for run in runs),
        samples=hash_of(*(run.read_data().rendered_sha256 for run in runs))[:16],
    )


def _trained(
    job: Job,
    part: Part,
    changes: Changes,
    observer: Observer,
    say: Callable[[str], None],
) -> tuple[TrainingResult | None, str | None]:
    """The result of a part; or None and why this recipe cannot be trained."""
    try:
        result, problem = attempt(
            lambda: _train_when_free(
                lambda: train(
                    part.recipe,
                    job.data,
                    part.folder,
                    stop_after_step=part.stop_after_step,
                    observer=observer,
                ),
                say,
            )
        )
    except (NotANumber, OutOfRungs) as error:
        result, problem = None, error.what
    except InputError as error:
        if not _explains(changes, error):
            raise
        result, problem = None, str(error)
    finally:
        release_memory()
    return (None, problem or "memory ran out") if result is None else (result, None)


def _explains(changes: Changes, error: InputError) -> bool:
    """Whether what was changed may be why a run is refused: a base that is gone, or data, is no candidate's fault."""
    return any(
        isinstance(error, kind) and any(field.startswith(sections) for field in changes)
        for kind, sections in _REFUSED_FOR.items()
    )


def _loss(result: TrainingResult) -> float | None:
    """Of the adapter that a finished run ships, else the loss where the run stopped; None where that is no number."""
    ended = result.state == "finished" and result.best_loss is not None
    loss = result.best_loss if ended else result.validation_loss
    return loss if loss is not None and math.isfinite(loss) else None


def _train_when_free(
    start: Callable[[], TrainingResult], say: Callable[[str], None]
) -> TrainingResult:
    """Train, waiting while another process holds the run: a worker that was taken for dead may live."""
    told = False
    while True:
        try:
            return start()
        except RunInUse as error:
            if not told:
                say(f"waiting for the process that trains {error.where}")
            told = True
        time.sleep(_PATIENCE)


def _peak(results: Sequence[TrainingResult], runs: Sequence[Run]) -> float | None:
    """Largest peak of the runs, 10^9 bytes: measured on a GPU, foreseen elsewhere; None where neither is known."""
    measured = [
        each.foresight["peak_gb"]["measured"] for each in results if "peak_gb" in each.foresight
    ]
    if measured:
        return max(measured)
    plans = [run.read_plan() for run in runs]
    return max((plan["memory_gb"]["peak"] for plan in plans if "memory_gb" in plan), default=None)


def _parameters(run: Run) -> int:
    started = (each for each in run.events() if each.event == "started")
    return next((each.details["trainable_parameters"] for each in started), 0)


def _forget_peak() -> None:
    import torch

    if torch.cuda.is_available():
        torch.cuda.reset_peak_memory_stats()
