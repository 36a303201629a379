"""What the validation losses of a run say of its length: overfitting, a plateau, or still falling.

Rules of thumb, stated so that nobody has to guess them. They judge the curve that was measured and nothing else: one
run, one seed, and a learning rate that mostly falls to zero, which by itself makes the last losses fall.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal

from lexitrain.runs import validation_losses

if TYPE_CHECKING:
    from lexitrain.runs import Run

RISE = 0.02
"""Share by which the last loss must lie above the best one for overfitting."""
LEVEL = 0.01
"""Share by which three validations must fall at least, or it is a plateau."""
_LEAST = 3  # validations
_AFTER_THE_BEST = 2

Kind = Literal["overfitting", "plateau", "still falling", "unknown"]


@dataclass(frozen=True, slots=True)
class LearningCurve:
    """What the curve is, and a sentence on what to do.

    Attributes:
        kind: by the rules above; `unknown` with fewer than three validations, or where the loss wavers.
        said: one sentence.
    """

    kind: Kind
    said: str


def learning_curve(run: Run) -> LearningCurve:
    """Judge the validation losses of a run, those that compare with each other."""
    return judged(validation_losses(run.metrics(), run.events()))


def judged(losses: Sequence[tuple[int, float]]) -> LearningCurve:
    """Judge validation losses, (step, loss) each, oldest first; of one step the last."""
    curve = sorted(dict(losses).items())
    if len(curve) < _LEAST:
        return LearningCurve("unknown", "Too few validations to tell how the loss moved.")
    place = min(range(len(curve)), key=lambda number: curve[number][1])
    best_step, best = curve[place]
    last = curve[-1][1]
    if len(curve) - 1 - place >= _AFTER_THE_BEST and last > best * (1 + RISE):
        by = f"by {last / best - 1:.0%}" if best else "from 0"
        return LearningCurve(
            "overfitting",
            f"Overfitting: the validation loss rose {by} since step {best_step}, whose adapter is "
            "kept. Fewer epochs or schedule.early_stopping would do.",
        )
    three = [loss for _, loss in curve[-_LEAST:]]
    fall = 1 - three[-1] / three[0] if three[0] else 0.0
    if max(three) <= min(three) * (1 + LEVEL):
        return LearningCurve(
            "plateau",
            f"Plateau: the last {_LEAST} validation losses lie within {LEVEL:.0%}. Fewer epochs would do.",
        )
    if place == len(curve) - 1 and fall >= LEVEL:
        return LearningCurve(
            "still falling",
            f"Still falling: by {fall:.0%} over the last {_LEAST} validations. More epochs may help.",
        )
    return LearningCurve("unknown", "The validation loss wavers: neither a plateau nor a fall.")
