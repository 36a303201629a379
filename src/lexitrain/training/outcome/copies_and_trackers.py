"""What a run still owes its mirror and its trackers when a call of `train` ends, also one that finds it finished."""

from __future__ import annotations

from time import perf_counter
from typing import TYPE_CHECKING

from lexitrain.runs import event_now
from lexitrain.training.recovery.accepted_changes import keep_recipe
from lexitrain.training.recovery.mirror import Mirror
from lexitrain.watching import places_of, tell_trackers

if TYPE_CHECKING:
    from pathlib import Path

    from lexitrain.recipe import Recipe
    from lexitrain.runs import Run
    from lexitrain.training.event_log import Observer
    from lexitrain.training.loop import Training
    from lexitrain.training.recovery.checkpoint_writer import CheckpointWriter
    from lexitrain.training.stopping import Limits
    from lexitrain.watching import TrackerProcesses

_WORTH_TELLING = 0.5
"""Seconds of waiting for the mirror at the end of a call that are written down."""


def settle_up(
    training: Training, checkpoints: CheckpointWriter, trackers: TrackerProcesses, state: str
) -> None:
    """Wait for the mirror, then for the trackers, at the end of a call that has trained.

    The mirror comes first: it has what cannot be had again, and a tracker that hangs takes all the time there is.

    Args:
        training: whose limits say how long to wait.
        checkpoints: that the mirror follows.
        trackers: that are told of the run.
        state: `finished` or `stopped`.
    """
    start = perf_counter()
    training.log.write_outcomes(checkpoints.flush_mirror(training.limits.mirror_patience()))
    if (waited := perf_counter() - start) >= _WORTH_TELLING:
        training.log.write("mirror_wait", seconds=round(waited, 3))
    told = trackers.finish(state, training.limits.tracker_patience())
    for said in told:
        training.log.write("tracker", **said)
    if told:  # the mirror's journal is to say so too
        training.log.write_outcomes(checkpoints.flush_mirror(training.limits.mirror_patience()))


def catch_up(run: Run, recipe: Recipe, data: Path, limits: Limits, observer: Observer) -> None:
    """Bring the mirror and the trackers of a finished run up to date, and tell that they are, or why not.

    A mirror or a tracker that a call names becomes the run's. Nothing is written to the run's journals: it has ended.

    Args:
        run: that has finished.
        recipe: with the mirror and the trackers that are to be used.
        data: the folder of its data.
        limits: say how long to wait.
        observer: is told.

    Raises:
        RunInUse: another process is at work on the run.
        OSError: the run's folder cannot be written.
    """
    folder, places = recipe.checkpoints.mirror_folder, places_of(recipe)
    if folder is None and not places:
        before = run.read_recipe()
        if before.checkpoints.mirror_folder is not None or places_of(before):
            with run.lock():
                keep_recipe(run, recipe, observer)  # they are switched off from now on
        return
    step = max(run.checkpoint_steps(), default=0)
    with run.lock():
        keep_recipe(run, recipe, observer)
        if folder is not None:
            observer.stage(f"bringing the mirror {folder} up to date")
            mirror = Mirror(run, folder, recipe.checkpoints.keep, data=data)
            mirror.start()
            mirror.flush(limits.mirror_patience())
            problems = mirror.outcomes()
            mirror.stop()
            for each in problems:
                observer.event(event_now(each.event, step, each.details))
            if not problems:
                details = {"problem": None, "back": str(mirror.run.path)}
                observer.event(event_now("mirror", step, details))
    if places:
        observer.stage("bringing the trackers up to date")
        for said in tell_trackers(run, limits.tracker_patience()):
            observer.event(event_now("tracker", step, dict(said)))
