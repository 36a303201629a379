"""What a run has learnt the hard way, read from its events: they are written before anything follows from them.

A checkpoint knows what the run knew when it was written. A process that climbed a rung of the memory ladder, or met a
step whose loss is no number, and was killed before the next checkpoint, has left an event about it; going on, the run
need not learn it again.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from lexitrain.runs.journals import Event
    from lexitrain.training.recovery.checkpoint_content import Standing


def learn(standing: Standing, events: Sequence[Event]) -> None:
    """Put into `standing` what the events say beyond it.

    A validation loss that was measured on other data is no longer the best one.

    A change that the user had accepted (event `accepted`) may have cured the numbers: what was left out for them before
    it is done, and the count of times gone back begins anew.
    """
    for each in events:
        details = each.details
        if each.event == "rung":
            standing.rung = max(standing.rung, details["rung"])
            budget = details.get("token_budget")
            if budget is not None:
                standing.token_budget = min(budget, standing.token_budget or budget)
        elif each.event == "nan" and details.get("left_out") is not None:
            standing.left_out = sorted({*standing.left_out, details["left_out"] - 1})
        elif each.event == "accepted":
            standing.left_out = []
            if each.step >= standing.step and not _comparable(details):
                standing.best_step, standing.best_loss = None, None
                standing.validations_without_gain = 0


def _comparable(accepted: Mapping[str, Any]) -> bool:
    """True when validation losses before and after an accepted change were measured on the same samples."""
    sections = {each.partition(".")[0] for each in accepted.get("recipe", ())}
    return "data" not in accepted and not sections & {"data", "validation"}
