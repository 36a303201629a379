"""Whether learners were assigned as they were meant to be.

Where they were not, learners of the two arms differ in something that nobody knows, and no difference between the arms
can be read. Chi-squared with one degree of freedom (exact where fewer than five are expected); p < 0.001 means that the
test is broken (Fabijan et al., KDD 2019).

That is a test for one look. Beside it stands one that holds however often it is looked at (Lindon & Malek,
arXiv 2011.03567): the likelihood of the arms in order of arrival under a beta mixture of shares around the one that was
meant, over that under the one that was meant.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

BROKEN_BELOW = 0.001
_FEW = 5.0
_CONCENTRATION = 200.0  # shares some points off: where broken assignments lie, and large tests find smaller ones too


@dataclass(frozen=True, slots=True)
class SampleRatio:
    """How learners fell into the arms.

    Attributes:
        learners: of each arm.
        expected: of each arm, by the ratio.
        p: chi-squared, or exact.
        always_valid_p: holds however often it was looked at.
    """

    learners: tuple[int, int]
    expected: tuple[float, float]
    p: float
    always_valid_p: float

    @property
    def broken(self) -> bool:
        """Whether nothing of the test can be trusted."""
        return self.p < BROKEN_BELOW


def sample_ratio(assigned: NDArray[np.int64], ratio: tuple[float, float]) -> SampleRatio:
    """Check the assignment.

    Args:
        assigned: 0 or 1 of each learner, in order of arrival.
        ratio: in which they were meant to be assigned.
    """
    n = len(assigned)
    meant = ratio[1] / sum(ratio)
    other = int(np.sum(assigned))
    expected = (n * (1 - meant), n * meant)
    if min(expected) < _FEW:
        p = _exact(other, n, meant)
    else:
        squared = (other - expected[1]) ** 2 * (1 / expected[0] + 1 / expected[1])
        p = math.erfc(math.sqrt(squared / 2))
    return SampleRatio((n - other, other), expected, p, _sequential(assigned, meant))


def _exact(k: int, n: int, share: float) -> float:
    """Two-sided binomial: all numbers that are no more likely than `k`."""
    chances = [
        math.exp(
            math.lgamma(n + 1) - math.lgamma(i + 1) - math.lgamma(n - i + 1)
            + i * math.log(share) + (n - i) * math.log1p(-share)
        )
        for i in range(n + 1)
    ]  # fmt: skip
    return min(1.0, sum(each for each in chances if each <= chances[k] * (1 + 1e-9)))


def _sequential(assigned: NDArray[np.int64], share: float) -> float:
    """One over the largest likelihood ratio on the way (Ville 1939)."""
    if not len(assigned):
        return 1.0
    seen = np.arange(len(assigned))
    others = np.concatenate([[0], np.cumsum(assigned)[:-1]])
    guess = (_CONCENTRATION * share + others) / (_CONCENTRATION + seen)
    gained = np.where(assigned == 1, np.log(guess / share), np.log((1 - guess) / (1 - share)))
    return float(min(1.0, math.exp(-max(0.0, float(np.cumsum(gained).max())))))
