"""A loss or gradient that is not a number: the run returns to its newest checkpoint and leaves that step out.

The step whose loss or gradient is NaN or infinite is skipped when the run comes to it again: no forward pass, no
update, and the schedule goes on as if it had been done. Which steps are skipped is written to events.jsonl before the
run returns, and then stands in every checkpoint, so that a resumed run skips the same ones. A run returns so at most
three times; then it stops with advice. A learning rate that is too high therefore ends the run, instead of skipping
one step after the other. After a change that the user had accepted the count begins anew.

The run is then built again in the way that any resumed run is, so there is one path and it is the tested one.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING

from lexitrain.errors import Stopped
from lexitrain.records import TRAIN, file_name
from lexitrain.step import attempt
from lexitrain.training.recovery.state import ReturnToCheckpoint

if TYPE_CHECKING:
    from lexitrain.samples import Sample
    from lexitrain.step import TrainingStep
    from lexitrain.training.event_log import EventLog
    from lexitrain.training.recovery.state import TrainingState

MOST_RETURNS = 3
"""How often a run returns to a checkpoint for this."""


class NotANumber(Stopped):
    """The loss or gradient of one step after the other is not a number."""


class NonFiniteGuard:
    """Watches the losses and gradient norms of one run.

    Args:
        state: holds the steps that are left out.
        step: tells which samples' own losses are not numbers.
        log: gets an event for each number that is none.
        finish_writing: waits until all checkpoints that were handed over are on the disk.
    """

    def __init__(
        self,
        state: TrainingState,
        step: TrainingStep,
        log: EventLog,
        finish_writing: Callable[[], None],
    ) -> None:
        self._state = state
        self._step = step
        self._log = log
        self._finish_writing = finish_writing

    def require_finite(self, what: str, value: float, samples: Sequence[Sample]) -> None:
        """Go on when `value` is a number.

        Args:
            what: name of the value, `loss` or `gradient norm`.
            samples: those of the step at hand.

        Raises:
            ReturnToCheckpoint: it is not; the step at hand is left out from now on.
            NotANumber: it is not, and the run has returned as often as it may.
        """
        if math.isfinite(value):
            return
        state, run = self._state, self._log.run
        self._finish_writing()
        saved = run.checkpoint_steps()
        again = len(state.left_out) < MOST_RETURNS
        suspects = self._rows_whose_own_loss_is_no_number(samples)
        rows = sorted(sample.index for sample in samples)
        self._log.write(
            "nan",
            what=what,
            value=str(value),
            rows=rows,
            suspects=suspects,
            tasks=sorted({sample.task for sample in samples}),
            gone_back_to=(saved[-1] if saved else 0) if again else None,
            left_out=state.step + 1 if again else None,
        )
        if again:
            raise ReturnToCheckpoint
        raise NotANumber(
            f"The {what} of step {state.step + 1} is {value}, after {MOST_RETURNS} other steps were left out for that. "
            + (
                f"The checkpoint of step {saved[-1]} is intact. "
                if saved
                else "Nothing is saved yet. "
            )
            + f"The step's samples are the rows {', '.join(map(str, suspects or rows))} of "
            f"{file_name(TRAIN)} (from 0).",
            where=run.path,
            fix="Look at those rows first. Else a lower optimizer.learning_rate or model.precision=fp32 usually cures "
            "it: the same command with --set and --accept-changes goes on with it, --fresh starts anew.",
        )

    def _rows_whose_own_loss_is_no_number(self, samples: Sequence[Sample]) -> list[int]:
        """Rows of the samples whose own loss is not a number, where that tells some of them from the others."""
        found: list[int] = []
        for sample in samples:
            result, _ = attempt(lambda one=sample: self._step.loss([one]))
            if result is not None and not math.isfinite(result[0]):
                found.append(sample.index)
        return sorted(found) if len(found) < len(samples) else []
