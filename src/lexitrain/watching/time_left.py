"""How long a run will still take, with a band.

The steps measured last give the expectation. Their mean is known up to two standard errors (two standard deviations of
a step, over the root of their number), which is the band; less than 2 % is never claimed. As long as fewer than three
steps are measured, the band is that of the plan, for the share of the run that is left.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from statistics import fmean, stdev

STEPS_FOR_A_BAND = 3
_ERRORS = 2.0
_LEAST = 0.02


@dataclass(frozen=True, slots=True)
class TimeLeft:
    """Seconds until a run ends: expected, and a band around it."""

    low: float
    expected: float
    high: float


def time_left(
    measured: Sequence[float],
    steps: int,
    besides: float,
    planned: TimeLeft | None = None,
) -> TimeLeft | None:
    """What is left of a run.

    Args:
        measured: seconds a step, of the last steps or of the last lines of metrics.
        steps: that are left.
        besides: seconds that validations and checkpoints will take.
        planned: what the plan says of the whole of what is left.

    Returns:
        None where nothing is measured and nothing was planned.
    """
    steps = max(steps, 0)
    if not measured:
        return planned
    mean = fmean(measured)
    expected = steps * mean + besides
    if len(measured) >= STEPS_FOR_A_BAND:
        error = _ERRORS * stdev(measured) / math.sqrt(len(measured))
        half = max(steps * error, _LEAST * expected)
        return TimeLeft(max(0.0, expected - half), expected, expected + half)
    return with_planned_band(expected, planned)


def with_planned_band(seconds: float, planned: TimeLeft | None) -> TimeLeft:
    """What is measured of the time left, with the plan's band around it where too little is measured for one's own.

    Args:
        seconds: expected, by what was measured.
        planned: of the same part of the run; None: no plan, and then there is no band.
    """
    if planned is None or planned.expected <= 0:
        return TimeLeft(seconds, seconds, seconds)
    low, high = planned.low / planned.expected, planned.high / planned.expected
    return TimeLeft(seconds * min(low, 1.0), seconds, seconds * max(high, 1.0))


def planned_left(hours: object, steps: int, total: int) -> TimeLeft | None:
    """The plan's hours (`low`, `expected`, `high`), for the share of the run that is left; None: none."""
    if not isinstance(hours, dict) or total < 1:
        return None
    share = 3600 * max(0, steps) / total
    try:
        low, expected, high = (float(hours[level]) for level in ("low", "expected", "high"))  # pyright: ignore[reportUnknownArgumentType]
    except (KeyError, TypeError, ValueError):
        return None
    # A short run's hours are rounded to nothing in the plan.
    return TimeLeft(share * low, share * expected, share * high) if expected > 0 else None
