"""Which validation losses of a run compare with each other, and so which adapter is its best.

A change that a user accepts may change what is validated, or by which measure. A loss from before such a change says
nothing about one from after it, so the best adapter from before is not the run's best any more.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from lexitrain.runs.journals import Event, Metrics

#: Sections and fields of a recipe that say which samples are validated, in which tokens, and what a loss is.
_MEASURE = {
    "data",
    "validation",
    "seed",  # chooses the samples under validation.limit
    "model.base",
    "model.revision",
    "model.quantization",
    "step.loss",
}
_OF_NO_MATTER = {"data.task_weights"}


def forgets_best(event: Event) -> bool:
    """True for an event after which validation losses do not compare with those before it."""
    return event.event == "accepted" and _changes_measure(event.details)


def best_validation(metrics: Sequence[Metrics], events: Sequence[Event]) -> float | None:
    """The lowest validation loss of those that compare with a run's next one; None where there is none."""
    return min((loss for _, loss in validation_losses(metrics, events)), default=None)


def validation_losses(
    metrics: Sequence[Metrics], events: Sequence[Event]
) -> list[tuple[int, float]]:
    """The validation losses that compare with a run's next one, as (step, loss), oldest first."""
    since = max((each.step for each in events if forgets_best(each)), default=-1)
    return [
        (line.step, line.validation_loss)
        for line in metrics
        if line.step > since and line.validation_loss is not None
    ]


def _changes_measure(accepted: Mapping[str, Any]) -> bool:
    if accepted.keys() & {"data", "base"}:
        return True
    fields = {each.partition(":")[0] for each in accepted.get("recipe", ())} - _OF_NO_MATTER
    return bool((fields | {each.partition(".")[0] for each in fields}) & _MEASURE)
