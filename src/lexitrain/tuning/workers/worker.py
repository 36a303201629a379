"""A worker: it takes one trial after the other until the study is complete or its budget is spent."""

from __future__ import annotations

import time
from collections.abc import Sequence
from typing import TYPE_CHECKING, Literal, Protocol

from lexitrain.errors import Stopped
from lexitrain.training import Progress, Silent
from lexitrain.tuning.workers.job import Job
from lexitrain.tuning.workers.trial import run_trial

if TYPE_CHECKING:
    from lexitrain.tuning.designs.unit import Outcomes, Unit
    from lexitrain.tuning.result import TuningResult
    from lexitrain.tuning.study.study import Study, Taken

Ending = Literal["complete", "budget"]
_PAUSE = 1.0
"""Seconds between two looks at a study in which nothing waits and something runs."""


class TuningObserver(Protocol):
    """Is told what a study does."""

    def priced(self, planned: TuningResult) -> None:
        """What it will cost is known; nothing is written yet."""

    def say(self, text: str) -> None:
        """Something happened."""

    def step(self, trial: str, step: int, total_steps: int) -> None:
        """A trial has done a step."""


class SilentTuning:
    """The observer that shows nothing."""

    def priced(self, planned: TuningResult) -> None:
        """Ignored."""

    def say(self, text: str) -> None:
        """Ignored."""

    def step(self, trial: str, step: int, total_steps: int) -> None:
        """Ignored."""


class _OfTrial(Silent):
    """Tells the observer of a study how far one trial is."""

    def __init__(self, run: str, observer: TuningObserver) -> None:
        self._run, self._observer = run, observer

    def progress(self, progress: Progress) -> None:
        self._observer.step(self._run, progress.step, progress.total_steps)


def work(job: Job, observer: TuningObserver) -> Ending:
    """Run trials until nothing is left to do.

    Returns:
        `complete`; or `budget`, where trials that are still due were not begun.

    Raises:
        Stopped: by a signal, a full disk, or a database that does not answer; the trial at hand waits for the next
            worker.
        InputError: what `train` refuses.
    """
    study, waits = job.open_study(), False
    try:
        with study.address.errors(begun=True):
            while True:
                study.retry_dead()
                progress = study.progress()
                due = job.design.due(progress.outcomes)
                if not due:
                    return "complete"
                live = progress.waiting | progress.running
                begun = _within_budget(job, due, progress.outcomes, live)
                if not begun:
                    return "budget"
                study.add(begun)
                taken = study.take(each.key for each in begun)
                if taken is not None:
                    _run(job, study, taken, observer)
                elif not waits:
                    observer.say("waiting for the trials of other workers")
                waits = taken is None
                if waits:
                    time.sleep(_PAUSE)
    except KeyboardInterrupt:
        raise stopped(job) from None
    finally:
        study.close()


def stopped(job: Job, reason: str = "a signal") -> Stopped:
    """What a study that a signal ends says."""
    return Stopped(
        f"Stopped by {reason}; what is finished is kept.",
        where=job.folder,
        fix="To go on: run the same command again.",
    )


def _within_budget(
    job: Job, due: Sequence[Unit], outcomes: Outcomes, live: frozenset[str]
) -> list[Unit]:
    """Those of the due units that may begin, or have begun."""
    begun = [each for each in due if each.key in live]
    spent = sum(each.hours for each in outcomes.values())
    if job.hours is not None and spent >= job.hours:
        return begun
    if job.trials is None or not job.sweep:
        return list(due)
    free = max(0, job.trials - len(outcomes) - len(begun))
    return begun + [each for each in due if each.key not in live][:free]


def _run(job: Job, study: Study, taken: Taken, observer: TuningObserver) -> None:
    name = described(taken)
    observer.say(f"{name} begins")
    try:
        with study.beating(taken):
            outcome = run_trial(job, taken, _OfTrial(taken.run, observer), observer.say)
    except BaseException:
        study.give_back(taken)
        raise
    if outcome is None:
        study.give_back(taken)
        raise stopped(job)
    study.finish(taken, outcome)
    if outcome.loss is None:
        observer.say(f"{name} failed: {outcome.reason}")
    else:
        observer.say(f"{name}: validation loss {outcome.loss:.4f} in {outcome.seconds:.0f} s")


def described(taken: Taken) -> str:
    """A trial as a person reads it."""
    unit = taken.unit
    share = "" if unit.share >= 1 else f", {unit.share:.0%} of the samples"
    return f"trial {taken.run} ({unit.changed}{share}, seed {unit.seed})"
