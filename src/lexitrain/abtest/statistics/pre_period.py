"""Narrower intervals from what was known of learners before the test (CUPED: Deng, Xu, Kohavi & Walker, WSDM 2013).

What each learner adds to the metric is compared with the value from before; what that value explains is no effect and
is taken out of the difference:

    adjusted = difference - θ · (mean of the value in the other arm - in the first one)

With a correlation of r the interval becomes sqrt(1 - r²) as wide. The value was there before the assignment, so its
mean is the same in both arms but for chance, and the adjustment moves nothing on average. Three things keep it so:

* All learners of an arm are averaged over, not those who have a value of the metric: who rates may depend on the arm.
* A learner without a value from before stands at the mean of those who have one, and that it is lacking is a value from
  before itself: newcomers differ from others, and are not left out.
* θ is one for both arms, and is the one that makes the variance of the difference smallest.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import cast

import numpy as np

from lexitrain.abtest.statistics.learner_sums import Array

LEAST_KNOWN = 20
"""Learners with a value in each arm, below which nothing is adjusted: so few explain by chance."""


@dataclass(frozen=True, slots=True)
class Adjustment:
    """What was taken out of a difference.

    Attributes:
        shift: taken from it.
        left: share of the variance of each arm's value that is left.
        width: how wide the interval is, as a share of that without.
        known: share of learners who have a value from before.
    """

    shift: float
    left: tuple[float, float]
    width: float
    known: float


def adjustment(pre: tuple[Array, Array], influence: tuple[Array, Array]) -> Adjustment | None:
    """What values from before the test explain of a difference; None where there are too few, or they are all alike.

    Args:
        pre: `[n]` by arm, NaN where there is none.
        influence: `[n]` by arm, what each learner adds to the metric of the arm.
    """
    if min(int(np.sum(~np.isnan(each))) for each in pre) < LEAST_KNOWN:
        return None
    columns = _columns(pre)
    if columns is None:
        return None
    n = [len(each) for each in influence]
    before = [float(each.var()) / count for each, count in zip(influence, n, strict=True)]
    if not min(before) > 0:
        return None
    centred: list[Array] = [each - each.mean(axis=0) for each in columns]
    pulled: list[Array] = [each - each.mean() for each in influence]
    squares = np.sum(
        [each.T @ each / count**2 for each, count in zip(centred, n, strict=True)], axis=0
    )
    products = np.sum(
        [
            each.T @ values / count**2
            for each, values, count in zip(centred, pulled, n, strict=True)
        ],
        axis=0,
    )
    theta = cast("Array", np.linalg.lstsq(squares, products, rcond=1e-10)[0])
    after = [
        float(np.mean((values - each @ theta) ** 2))
        / count
        * (count - 1)
        / (count - 1 - len(theta))
        for each, values, count in zip(centred, pulled, n, strict=True)
    ]
    known = np.concatenate([~np.isnan(each) for each in pre])
    return Adjustment(
        shift=float((columns[1].mean(axis=0) - columns[0].mean(axis=0)) @ theta),
        left=(after[0] / before[0], after[1] / before[1]),
        width=math.sqrt(sum(after) / sum(before)),
        known=float(known.mean()),
    )


def _columns(pre: tuple[Array, Array]) -> tuple[Array, Array] | None:
    """`[n, 1 or 2]` by arm: the value, and whether it is lacking where it is lacking of some; scaled to a deviation of
    about 1. None where all values are alike."""
    together = np.concatenate(pre)
    known = ~np.isnan(together)
    middle, spread = float(together[known].mean()), float(together[known].std())
    if not spread > 1e-12 * max(1.0, abs(middle)):
        return None
    values = np.where(known, (together - middle) / spread, 0.0)[:, None]
    if not known.all():
        values = np.concatenate([values, (~known).astype(np.float64)[:, None]], axis=1)
    return values[: len(pre[0])], values[len(pre[0]) :]


def imbalance(pre: tuple[Array, Array]) -> float | None:
    """The p value of the values from before being alike in both arms: the smaller one of their mean and of how many
    have one, doubled for being two. None where that cannot be asked."""
    found: list[float] = []
    known = tuple(~np.isnan(each) for each in pre)
    for first, other in (
        (pre[0][known[0]], pre[1][known[1]]),
        (known[0].astype(np.float64), known[1].astype(np.float64)),
    ):
        if min(len(first), len(other)) < LEAST_KNOWN:
            continue
        variance = first.var(ddof=1) / len(first) + other.var(ddof=1) / len(other)
        if variance > 0:
            found.append(_normal_p(float(other.mean() - first.mean()) / float(np.sqrt(variance))))
    return min(1.0, len(found) * min(found)) if found else None


def _normal_p(z: float) -> float:
    return math.erfc(abs(z) / math.sqrt(2))
