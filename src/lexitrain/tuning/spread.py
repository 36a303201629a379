"""Intervals over seeds, and where a larger value stops paying.

The interval of a mean over n seeds is Student's: mean ± t(0.975, n − 1) · s / √n, for which the losses of several seeds
are taken for draws from a normal distribution. All values of a sweep are trained with the same seeds, so differences
are taken seed by seed: what a seed does to all of them (its order of samples, its validation samples where there is a
limit) cancels out.

**Where returns diminish**: the smallest value for which no larger one is shown to be better, that is, for which no
larger value has a mean difference whose 95 % interval lies wholly on its side. With one seed there is no interval and
no such answer.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from statistics import fmean, stdev

from lexitrain.tasks import t_quantile


@dataclass(frozen=True)
class Spread:
    """A mean over seeds.

    Attributes:
        mean: of the losses.
        low, high: its 95 % interval; None with fewer than two seeds.
        count: seeds.
    """

    mean: float
    low: float | None
    high: float | None
    count: int

    @staticmethod
    def of(values: Sequence[float]) -> Spread:
        """The mean of at least one value, with its interval."""
        mean = fmean(values)
        if len(values) < 2:
            return Spread(mean, None, None, len(values))
        half = t_quantile(0.975, len(values) - 1) * stdev(values) / math.sqrt(len(values))
        return Spread(mean, mean - half, mean + half, len(values))


def diminishing(losses: Sequence[Sequence[float]]) -> int | None:
    """Index of the value from which on no larger one is shown to be better.

    Args:
        losses: for each value, in rising order, its losses by seed, the same seeds everywhere.

    Returns:
        None with fewer than two seeds, or where seeds are missing: nothing is shown then.
    """
    count = len(losses[0]) if losses else 0
    if count < 2 or any(len(each) != count for each in losses):
        return None
    for index, own in enumerate(losses):
        gains = [
            Spread.of([mine - theirs for mine, theirs in zip(own, larger, strict=True)])
            for larger in losses[index + 1 :]
        ]
        if not any(gain.low is not None and gain.low > 0 for gain in gains):
            return index
    return None
