"""Going back: giving up the present state of a run for that of its newest checkpoint, without ending the process.

It happens in three cases: a loss or gradient that is no number has reached the weights; memory ran out while weights
were being updated; the base is to be loaded anew in 4 bits. The run is then built again in the way that any resumed run
is, so there is one path and it is the tested one.

**Numbers that are no numbers.** The step whose loss or gradient is NaN or infinite is left out when the run comes to it
again: no forward pass, no update, and the schedule goes on as if it had been done. It is deterministic, since which
steps are left out stands in events.jsonl before the run goes back, and then in every checkpoint. A run goes back so at
most three times; after that, or after a change that the user had accepted, the count begins anew. Steps that are left
out are at most that many, so that a learning rate that is too high ends the run instead of eating it up.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import TYPE_CHECKING

from lexitrain.errors import Stopped
from lexitrain.step import attempt

if TYPE_CHECKING:
    from lexitrain.samples.sample import Sample
    from lexitrain.training.loop import Training

#: How often a run goes back because of numbers that are none.
MOST_TIMES = 3


class GoBack(Exception):
    """The run is to be built again from its newest checkpoint, in this process."""


def require_number(training: Training, what: str, value: float, samples: Sequence[Sample]) -> None:
    """Go on when `value` is a number, else go back.

    Args:
        what: name of the value, `loss` or `gradient norm`.
        samples: those of the step at hand.

    Raises:
        GoBack: it is none; the step at hand is left out from now on.
        Stopped: it is none, and the run has gone back as often as it may.
    """
    if math.isfinite(value):
        return
    standing = training.standing
    training.tell(training.checkpoints.outcomes(wait=True))
    saved = training.run.checkpoint_steps()
    again = len(standing.left_out) < MOST_TIMES
    suspects = _own_loss_is_no_number(training, samples)
    rows = sorted(sample.index for sample in samples)
    training.event(
        "nan",
        what=what,
        value=str(value),
        rows=rows,
        suspects=suspects,
        tasks=sorted({sample.task for sample in samples}),
        gone_back_to=(saved[-1] if saved else 0) if again else None,
        left_out=standing.step + 1 if again else None,
    )
    if again:
        raise GoBack
    raise Stopped(
        f"The {what} of step {standing.step + 1} is {value}, after {MOST_TIMES} other steps were left out for that. "
        + (f"The checkpoint of step {saved[-1]} is intact. " if saved else "Nothing is saved yet. ")
        + f"The step's samples are the rows {', '.join(map(str, suspects or rows))} of train.jsonl (from 0).",
        where=training.run.path,
        fix="Look at those rows first. Else a lower optimizer.learning_rate or model.precision=fp32 usually cures it: "
        "the same command with --set and --accept-changes goes on with it, --fresh starts anew.",
    )


def _own_loss_is_no_number(training: Training, samples: Sequence[Sample]) -> list[int]:
    """Rows of the samples whose own loss is no number, where that tells some of them from the others."""
    found: list[int] = []
    for sample in samples:
        result, _ = attempt(lambda one=sample: training.step.loss([one]))
        if result is not None and not math.isfinite(result[0]):
            found.append(sample.index)
    return sorted(found) if len(found) < len(samples) else []
