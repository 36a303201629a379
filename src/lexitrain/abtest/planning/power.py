"""The chance of a test to find an effect, and how large the effect must be, in standard errors at the planned end.

Read once, the chance is Φ(θ - z), with θ the effect in standard errors. Read after every day, it is the chance that a
Brownian motion with drift leaves the confidence sequence on the right side: the density of those who have not left is
carried from look to look on a grid (Armitage, McPherson & Rowe 1969), to three digits.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from functools import lru_cache
from statistics import NormalDist

import numpy as np

from lexitrain.abtest.statistics.sequence import best_time, widening

MOST_LOOKS = 400
_FINE = 8.0  # points of the grid in a standard deviation between two looks
_SURE = 1e-9


@dataclass(frozen=True, slots=True)
class Crossing:
    """When a test that is read again and again ends.

    Attributes:
        looks: share of the planned size at each.
        found: `[looks]`, chance to have found the effect by then.
    """

    looks: np.ndarray
    found: np.ndarray

    @property
    def power(self) -> float:
        """By the planned end."""
        return float(self.found[-1])

    @property
    def typical(self) -> float:
        """Share of the planned size at which half of those tests have ended that find the effect."""
        return float(self.looks[int(np.argmax(self.found >= self.found[-1] / 2))])


def crossing(theta: float, alpha: float, looks: int, begins: float = 0.0) -> Crossing:
    """How an effect is found by a confidence sequence that is narrowest at the planned end.

    Args:
        theta: effect in standard errors at the planned end, above 0.
        alpha: of the sequence.
        looks: equally far apart, the last one at the planned end.
        begins: share of the planned size before which there is no sequence.
    """
    looks = min(looks, MOST_LOOKS)
    times = np.arange(1, looks + 1) / looks
    step = 1 / looks
    deviation = math.sqrt(step)
    most = max(widening(best_time(alpha), alpha), theta) + 6
    wide = deviation / _FINE
    side = math.ceil(most / wide)
    grid = wide * np.arange(-side, side + 1, dtype=np.float64)
    reach = math.ceil((8 * deviation + abs(theta) * step) / wide)
    offsets = wide * np.arange(-reach, reach + 1, dtype=np.float64)
    kernel = np.exp(-0.5 * ((offsets - theta * step) / deviation) ** 2)
    kernel /= kernel.sum()
    density = np.zeros(len(grid))
    density[side] = 1.0
    found = np.zeros(looks)
    sum_found = 0.0
    for place, time in enumerate(times):
        density = np.convolve(density, kernel)[reach : reach + len(grid)]
        if time >= begins - _SURE:
            bound = widening(time * best_time(alpha), alpha) * math.sqrt(time)
            above = np.clip((grid - bound) / wide + 0.5, 0.0, 1.0)
            below = np.clip((-bound - grid) / wide + 0.5, 0.0, 1.0)
            sum_found += float(density @ above)
            density = density * (1 - above) * (1 - below)
        found[place] = sum_found
    return Crossing(times, found)


def fixed_effect(alpha: float, power: float) -> float:
    """θ that a test finds with `power` when it is read once."""
    normal = NormalDist()
    return normal.inv_cdf(1 - alpha / 2) + normal.inv_cdf(power)


@lru_cache(maxsize=256)
def sequential_effect(alpha: float, power: float, looks: int, begins: float = 0.0) -> float:
    """θ that a test finds with `power` by its planned end when it is read at every look."""
    low, high = 0.0, fixed_effect(alpha, power) + 4
    for _ in range(24):
        middle = (low + high) / 2
        low, high = (
            (middle, high)
            if crossing(middle, alpha, looks, begins).power < power
            else (low, middle)
        )
    return high
