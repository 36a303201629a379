"""One row a learner: the unit that was assigned is the unit that is counted.

A learner's answers are alike, so ten answers of one learner say less than one answer of ten. Whatever is asked of
exposures becomes two numbers a learner, the sum of the values and how many there are, and the metric is the ratio of
their totals.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from lexitrain.abtest.observations import Observations

Array = NDArray[np.float64]


@dataclass(frozen=True, slots=True)
class LearnerSums:
    """A metric by learner, `[L]` each; those who have not come yet are left out.

    Attributes:
        arm: 0 or 1, as assigned.
        total: sum of the learner's values.
        count: how many there are; 0 of a learner who has none.
        squares: sum of their squares.
        pre: value from before the test, NaN where there is none.
    """

    arm: NDArray[np.int64]
    total: Array
    count: Array
    squares: Array
    pre: Array

    def of(self, arm: int) -> LearnerSums:
        """The learners of one arm."""
        own = self.arm == arm
        return LearnerSums(
            self.arm[own], self.total[own], self.count[own], self.squares[own], self.pre[own]
        )


def learner_sums(
    seen: Observations,
    values: Array,
    *,
    until: float | None = None,
    task: int | None = None,
) -> LearnerSums:
    """Sums by learner, every learner in the arm that was assigned, whatever was shown.

    Args:
        seen: the test.
        values: `[E]`, NaN where an exposure has none.
        until: seconds since 1970; later exposures are not looked at, and neither are learners who had not come.
        task: place in `seen.tasks`; all of them by default. Learners who never chose it have a count of 0.
    """
    used = ~np.isnan(values)
    come = np.ones(len(seen.learners), dtype=np.bool_)
    if until is not None:
        early = seen.time <= until
        used &= early
        come = np.bincount(seen.learner[early], minlength=len(seen.learners)) > 0
    if task is not None:
        used &= seen.task == task
    own, told = seen.learner[used], values[used]

    def added(weights: Array) -> Array:
        return np.bincount(own, weights=weights, minlength=len(seen.learners))[come].astype(
            np.float64
        )

    return LearnerSums(
        arm=seen.assigned[come],
        total=added(told),
        count=added(np.ones(len(told))),
        squares=added(told * told),
        pre=seen.pre[come],
    )
