"""The difference between the arms in one metric, with an interval for one look and one for many.

A metric is the ratio of two totals, R = ΣY / ΣD over learners. Its variance is that of the jackknife which leaves out
one learner after the other, the learner being the unit (Efron & Stein 1981; CR3 of MacKinnon & White 1985):

    Var R = (n - 1) / n · Σ ( (Y - R D) / (ΣD - D) )²

With as many exposures of every learner it is that of the delta method (Deng, Knoblich & Lu, KDD 2018) and of errors
clustered by learner, n / (n - 1) · Σ ((Y - R D) / ΣD)². Where one learner has most of the exposures, those two take the
arm's value for that learner's and say that it is known exactly; this one does not.

The interval for one look is Student's, with Welch's degrees of freedom, of as many learners as an even share of the
exposures would stand for, (ΣD)² / ΣD² (Carter, Schnepel & Steigerwald 2017). Where all values are alike the data say
that there is no variance, which is little to go by: the error of a share is at least that of one learner in the arm who
differs (Bonett & Price 2012).
"""

from __future__ import annotations

import math
from dataclasses import dataclass, replace

import numpy as np

from lexitrain.abtest.sentences import sentence
from lexitrain.abtest.statistics.learner_sums import Array, LearnerSums
from lexitrain.abtest.statistics.pre_period import Adjustment, adjustment
from lexitrain.abtest.statistics.sequence import (
    LEAST_LEARNERS,
    always_valid_p,
    best_time,
    time_of,
    widening,
)
from lexitrain.tasks import t_distribution, t_quantile


@dataclass(frozen=True, slots=True)
class ArmValue:
    """A metric in one arm.

    Attributes:
        value: None where there are no values.
        learners: who have one.
        exposures: that have one.
        even_learners: of how many learners that is, would all have as many exposures.
    """

    value: float | None
    learners: int
    exposures: int
    even_learners: float


@dataclass(frozen=True, slots=True)
class Effect:
    """The other arm's value less the first one's.

    Attributes:
        arms: the metric in each.
        difference: None where one of them has no value; adjusted where `adjusted` says so.
        error: standard error; None where it cannot be told.
        low, high: 95 % interval for one look (100 (1 - alpha) %).
        p: two-sided, for one look.
        sequence_low, sequence_high: the interval that may be looked at at any time; None before it begins.
        always_valid_p: the p value that may be.
        adjusted: by the value from before the test; None: there was none, or too few.
        unadjusted: difference and error without.
        lacking: why there is no interval, or none to look at at any time.
    """

    arms: tuple[ArmValue, ArmValue]
    difference: float | None = None
    error: float | None = None
    low: float | None = None
    high: float | None = None
    p: float | None = None
    sequence_low: float | None = None
    sequence_high: float | None = None
    always_valid_p: float | None = None
    adjusted: Adjustment | None = None
    unadjusted: tuple[float, float] | None = None
    lacking: str | None = None


@dataclass(frozen=True, slots=True)
class Looking:
    """How intervals are made.

    Attributes:
        alpha: chance that an interval misses the truth.
        planned: n* of the sequence, on the scale of `sequence.harmonic`.
    """

    alpha: float
    planned: float


def effect_of(sums: LearnerSums, looking: Looking, step: float | None = 1.0) -> Effect:
    """The difference of a metric between the arms.

    Args:
        sums: by learner.
        looking: how intervals are made.
        step: the smallest change of one value, for where all of them are alike; None: there is none.
    """
    parts = sums.of(0), sums.of(1)
    arms = _value(parts[0]), _value(parts[1])
    first, other = arms[0].value, arms[1].value
    if first is None or other is None:
        return Effect(arms, lacking=sentence("no_values"))
    found = Effect(arms, difference=other - first)
    if min(arm.learners for arm in arms) < 2:
        return replace(
            found,
            lacking=sentence("one_learner"),
        )
    influence = _influence(parts[0], first), _influence(parts[1], other)
    variances = tuple(
        _variance(each, arm.learners) for each, arm in zip(influence, arms, strict=True)
    )
    adjusted = adjustment((parts[0].pre, parts[1].pre), influence)
    if adjusted is not None:
        found = replace(
            found,
            difference=other - first - adjusted.shift,
            adjusted=adjusted,
            unadjusted=(other - first, math.sqrt(sum(variances))),
        )
        variances = tuple(
            variance * left for variance, left in zip(variances, adjusted.left, strict=True)
        )
    if step is not None:
        variances = tuple(
            max(variance, (step / (arm.learners + 2)) ** 2)
            for variance, arm in zip(variances, arms, strict=True)
        )
    error = math.sqrt(sum(variances))
    if error == 0 or not math.isfinite(error):
        return replace(found, lacking=sentence("all_alike"))
    return _with_intervals(found, error, variances, _spread(parts, (first, other)), looking)


def _with_intervals(
    found: Effect,
    error: float,
    variances: tuple[float, ...],
    spread: float,
    looking: Looking,
) -> Effect:
    assert found.difference is not None
    difference = found.difference
    n = [arm.even_learners for arm in found.arms]
    freedom = _freedom(variances, n)
    half = t_quantile(1 - looking.alpha / 2, freedom) * error
    z = difference / error
    found = replace(
        found,
        error=error,
        low=difference - half,
        high=difference + half,
        p=2 * (1 - t_distribution(abs(z), freedom)),
    )
    if min(n) < LEAST_LEARNERS:
        return replace(
            found,
            lacking=sentence("too_few_learners", least=LEAST_LEARNERS),
        )
    exposures = found.arms[0].exposures, found.arms[1].exposures
    x = time_of(error, exposures, spread, looking.planned, looking.alpha)
    half = widening(x, looking.alpha) * error
    return replace(
        found,
        sequence_low=difference - half,
        sequence_high=difference + half,
        always_valid_p=always_valid_p(z, x),
    )


def _value(part: LearnerSums) -> ArmValue:
    count = float(part.count.sum())
    value = float(part.total.sum()) / count if count else None
    even = count * count / float(part.count @ part.count) if count else 0.0
    return ArmValue(value, int(np.count_nonzero(part.count)), int(count), even)


def _influence(part: LearnerSums, value: float) -> Array:
    """`[n]`: by how much the arm's value would fall without a learner, times the learners of the arm. Learners without
    values change nothing."""
    rest = part.count.sum() - part.count
    return (part.total - value * part.count) * len(part.count) / np.where(rest > 0, rest, 1.0)


def _variance(influence: Array, learners: int) -> float:
    """Of the arm's value, of which `learners` have a part."""
    return float(influence @ influence) / len(influence) ** 2 * (learners - 1) / learners


def _spread(parts: tuple[LearnerSums, LearnerSums], values: tuple[float, float]) -> float:
    """Variance of one exposure's value within its arm."""
    squares = sum(
        float(part.squares.sum()) - value * float(part.total.sum())
        for part, value in zip(parts, values, strict=True)
    )
    return max(0.0, squares) / sum(float(part.count.sum()) for part in parts)


def _freedom(variances: tuple[float, ...], n: list[float]) -> int:
    """Welch (1947), rounded down."""
    total = sum(variances)
    parts = sum(each * each / max(count - 1, 0.5) for each, count in zip(variances, n, strict=True))
    return max(1, int(total * total / parts + 1e-9))


def arm_share(part: LearnerSums, share: float, looking: Looking) -> float | None:
    """Half of the interval of a share in one arm, which may be looked at at any time; None before it begins.

    Args:
        part: of one arm.
        share: that the values are thought to have; gives the variance of one exposure.
        looking: `planned` is that of both arms together.
    """
    arm = _value(part)
    if arm.value is None or arm.learners < 2 or arm.even_learners < LEAST_LEARNERS:
        return None
    variance = _variance(_influence(part, arm.value), arm.learners)
    error = math.sqrt(max(variance, (1 / (arm.learners + 2)) ** 2))
    n = (error * arm.exposures) ** 2 / (share * (1 - share))
    x = n / (2 * looking.planned) * best_time(looking.alpha)
    return widening(x, looking.alpha) * error
