"""Where a run stands: every number that decides what comes next, apart from its tensors.

Each checkpoint holds it, so that a stop at any step, wanted or not, changes nothing in the weights that come out. A
checkpoint knows what the run knew when it was written; a process that climbed a rung of the memory ladder, or met a
step whose loss is not a number, and was killed before the next checkpoint, has left an event about it, because events
are written before anything follows from them. `learn_from` reads those, so that the run need not learn it again.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from lexitrain.runs import forgets_best
from lexitrain.training.metrics import LossWatch, Window

if TYPE_CHECKING:
    from lexitrain.runs import Event


class ReturnToCheckpoint(Exception):
    """The present weights are given up: the run is to be built again from its newest checkpoint, in this process."""


@dataclass
class TrainingState:
    """Where a run stands (`standing` in state.json). The markers `validated_at` and `logged_at` say what has been done
    for `step`, so that a stop between a step and its validation loses neither.

    Attributes:
        step: optimizer steps done.
        seconds: time spent in training steps, over all processes that worked on the run.
        validated_at, logged_at: last step that was validated, and that was logged.
        validation_loss: measured at `validated_at`, nats a supervised token; None where it was not a number.
        best_step, best_loss: of the lowest validation loss.
        validations_without_gain: since then.
        rung: of the memory ladder; 0 as long as nothing was changed to save memory.
        token_budget: most layout tokens in a cut, where the ladder has set one.
        left_out: numbers of the steps, from 0, that are skipped because their loss or gradient is not a number.
        losses: the last steps' losses, to tell a spike.
        window: the steps not yet logged.
    """

    step: int = 0
    seconds: float = 0.0
    validated_at: int = 0
    logged_at: int = 0
    validation_loss: float | None = None
    best_step: int | None = None
    best_loss: float | None = None
    validations_without_gain: int = 0
    rung: int = 0
    token_budget: int | None = None
    left_out: list[int] = field(default_factory=list[int])
    losses: LossWatch = field(default_factory=LossWatch)
    window: Window = field(default_factory=Window)

    def learn_from(self, events: Sequence[Event]) -> None:
        """Put in what the run's events say beyond the checkpoint.

        A change that the user had accepted (event `accepted`) may have cured the numbers: the steps that were left out
        before it are done, and the count of returns begins anew. Where it changed what validation losses are measured
        on, the best one is forgotten, because later ones do not compare with it.
        """
        for each in events:
            details = each.details
            if each.event == "rung":
                self.rung = max(self.rung, details["rung"])
                budget = details.get("token_budget")
                if budget is not None:
                    self.token_budget = min(budget, self.token_budget or budget)
            elif each.event == "nan" and details.get("left_out") is not None:
                # Events count steps from 1, as users do.
                self.left_out = sorted({*self.left_out, details["left_out"] - 1})
            elif each.event == "accepted":
                self.left_out = []
                if each.step >= self.step and forgets_best(each):
                    self.forget_best()

    def forget_best(self) -> None:
        """What was the best adapter is none any more: there is nothing that later ones compare with."""
        self.best_step, self.best_loss = None, None
        self.validations_without_gain = 0

    def take_validation(self, loss: float | None) -> bool:
        """Take in the validation loss of the present step; whether it is the best one so far.

        One that is not a number is no loss: it is never the best, and it is no validation without gain.

        Args:
            loss: nats a supervised token; None where nothing was measured.
        """
        measured = loss is not None and math.isfinite(loss)
        self.validated_at, self.validation_loss = self.step, loss if measured else None
        if loss is None or not measured:
            return False
        if self.best_loss is None or loss < self.best_loss:
            self.best_step, self.best_loss = self.step, loss
            self.validations_without_gain = 0
            return True
        self.validations_without_gain += 1
        return False
