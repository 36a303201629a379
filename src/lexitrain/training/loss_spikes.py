"""Loss spikes: a step whose loss stands out from those before it. They are reported and change nothing else.

A loss is a spike when it exceeds the median of the last 50 losses by more than 8 scaled median absolute deviations (the
deviation times 1.4826 estimates the standard deviation of a normal distribution; Rousseeuw & Croux 1993). Median and
deviation are not moved by the spikes themselves. A floor of 5 % of the median keeps a run whose losses hardly differ
quiet. The losses are part of every checkpoint, so a resumed run reports what an undisturbed one does.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from statistics import median

_WINDOW = 50
_NEEDED = 20
_DEVIATIONS = 8.0
_TO_STANDARD_DEVIATION = 1.4826
_FLOOR = 0.05


@dataclass
class LossWatch:
    """The last losses of a run.

    Attributes:
        losses: of the last steps, nats a token.
        high: whether the last one was a spike; a spike of several steps is reported once.
    """

    losses: list[float] = field(default_factory=list[float])
    high: bool = False

    def is_spike(self, loss: float) -> float | None:
        """Take in the loss of a step; the threshold that it exceeded when a spike begins with it, else None."""
        limit = self._limit()
        begins = limit is not None and loss > limit and not self.high
        self.high = limit is not None and loss > limit
        self.losses = [*self.losses, loss][-_WINDOW:]
        return limit if begins else None

    def _limit(self) -> float | None:
        if len(self.losses) < _NEEDED:
            return None
        middle = median(self.losses)
        deviation = median(abs(each - middle) for each in self.losses)
        return middle + _DEVIATIONS * max(_TO_STANDARD_DEVIATION * deviation, _FLOOR * middle)
