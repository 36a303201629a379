"""A score as a function of how often each record counts, and its bootstrap interval.

A score is a `Statistic`: a function from record weights `[B, N]` to `B` values. A weight is how often a record occurs
in a resample, so the score itself is the value at all ones, and the percentile bootstrap (Efron & Tibshirani 1993,
ch. 13) is one matrix product for scores made of sums. 1,000 resamples of 1,000 records take some 10 ms a score.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

Array = NDArray[np.float64]
Statistic = Callable[[Array], Array]

RESAMPLES = 1000
_CHUNK = 100  # resamples weighed at once: keeps the weights of 100,000 records at 80 MB


@dataclass(frozen=True, slots=True)
class Score:
    """A score with its 95 % bootstrap interval over `n` records."""

    value: float
    low: float
    high: float
    n: int


def point(statistic: Statistic, n: int) -> float:
    """The statistic on the `n` records themselves."""
    return float(statistic(np.ones((1, n)))[0])


def bootstrap(statistic: Statistic, n: int, *, seed: int = 0) -> Score:
    """The statistic with the percentile interval of `RESAMPLES` resamples of its `n` records.

    The same seed and `n` give the same resamples for every statistic, so that scores of one task can be compared.
    """
    generator = np.random.default_rng(seed)
    uniform = np.full(n, 1 / n)
    values = np.concatenate(
        [
            statistic(generator.multinomial(n, uniform, size=_CHUNK).astype(np.float64))
            for _ in range(RESAMPLES // _CHUNK)
        ]
    )
    value = point(statistic, n)
    if getattr(statistic, "centred", False):
        values = values - values.mean() + value
    low, high = np.percentile(values, [2.5, 97.5])
    return Score(value, float(low), float(high), n)
