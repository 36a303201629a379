"""How well answered numbers and classes agree with the true ones.

Numbers: Pearson's r, Spearman's rho, root mean square error, bias, calibration slope. Classes: macro-F1, Cohen's kappa
with quadratic weights, the confusion matrix. Each is a `Statistic`, exact in every resample.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike, NDArray

from lexitrain.tasks.metrics.bootstrap import Array
from lexitrain.tasks.metrics.scores import Sums, mean, ratio


def pearson(predicted: ArrayLike, actual: ArrayLike, counted: ArrayLike | None = None) -> Sums:
    """Pearson's r over the records where `counted` is true (all by default).

    Where the actual values are all the same, or there are fewer than two, nothing can correlate with them: not defined.
    A constant predictor of values that differ correlates with nothing: 0.
    """
    return _correlation(predicted, actual, counted)[0]


def _correlation(
    predicted: ArrayLike, actual: ArrayLike, counted: ArrayLike | None
) -> tuple[Sums, float]:
    """Pearson's r, its sums being of values as `_centred` gives them; and how many times larger the unit of the actual
    ones is there than that of the predicted ones."""
    given = np.asarray(predicted, dtype=np.float64)
    used = np.ones(len(given), dtype=np.bool_) if counted is None else np.asarray(counted, np.bool_)
    x, unit_x = _centred(given, used)
    y, unit_y = _centred(np.asarray(actual, dtype=np.float64), used)
    columns = np.stack([used.astype(np.float64), x, y, x * x, y * y, x * y], axis=-1)

    def combine(sums: Array) -> Array:
        n, sx, sy, sxx, syy, sxy = sums.T
        variance_x, variance_y = n * sxx - sx**2, n * syy - sy**2
        constant_x, constant_y = (each <= 1e-12 * n * n for each in (variance_x, variance_y))
        product = np.where(constant_x | constant_y, 0.0, variance_x * variance_y)
        r = np.clip(ratio(n * sxy - sx * sy, np.sqrt(product)), -1.0, 1.0)
        return np.where(constant_y, np.nan, np.where(constant_x, 0.0, r))

    return Sums(columns, combine, None if counted is None else used), unit_y / unit_x


def _centred(values: Array, used: NDArray[np.bool_]) -> tuple[Array, float]:
    """The values less their mean, in a unit in which the largest is 0.5 to 1, so that what varies is told from rounding
    whatever its scale; 0 where not used or all the same. And the unit: a power of two, which costs no digits."""
    if not used.any():
        return np.zeros_like(values), 1.0
    centred = np.where(used, values - values[used].mean(), 0.0)
    largest = float(np.abs(centred).max())
    if largest <= 1e-12 * float(np.abs(values[used]).max()):
        return np.zeros_like(values), 1.0
    unit = math.ldexp(1.0, math.frexp(largest)[1])
    return centred / unit, unit


@dataclass(frozen=True, slots=True)
class Spearman:
    """Spearman's rho: Pearson's r of ranks, equal values sharing their mean rank (Spearman 1904).

    Ranks are those within the resample: a value's rank is what weighs less, and half of what weighs the same.
    """

    predicted: Array  # [N]
    actual: Array  # [N]
    about: NDArray[np.bool_]  # [N]

    def __call__(self, weights: Array) -> Array:
        used = self.about
        return _weighted_pearson(
            _ranks(self.predicted[used], weights[:, used]),
            _ranks(self.actual[used], weights[:, used]),
            weights[:, used],
        )


def spearman(predicted: ArrayLike, actual: ArrayLike, counted: ArrayLike | None = None) -> Spearman:
    """Spearman's rho over the records where `counted` is true (all by default); defined where `pearson` is."""
    x = np.asarray(predicted, dtype=np.float64)
    used = np.ones(len(x), dtype=np.bool_) if counted is None else np.asarray(counted, np.bool_)
    return Spearman(x, np.asarray(actual, dtype=np.float64), used)


def _ranks(values: Array, weights: Array) -> Array:
    """`[B, N]`: the mean rank of each value, less a constant, where value i occurs `weights[b, i]` times."""
    place = np.unique(values, return_inverse=True)[1]
    order = np.argsort(place, kind="stable")
    starts = np.flatnonzero(np.diff(place[order], prepend=-1))
    held = np.add.reduceat(weights[:, order], starts, axis=1)
    return (np.cumsum(held, axis=1) - held / 2)[:, place]


def _weighted_pearson(x: Array, y: Array, weights: Array) -> Array:
    """Pearson's r of each row of `x` and `y` `[B, N]`, with `pearson`'s rules for what does not vary."""
    total = np.maximum(weights.sum(axis=1, keepdims=True), 1e-300)
    x = x - (weights * x).sum(axis=1, keepdims=True) / total
    y = y - (weights * y).sum(axis=1, keepdims=True) / total
    sxx, syy = (weights * x * x).sum(axis=1), (weights * y * y).sum(axis=1)
    bound = 1e-12 * total[:, 0] ** 3
    constant_x, constant_y = sxx <= bound, syy <= bound
    product = np.where(constant_x | constant_y, 0.0, sxx * syy)
    r = np.clip(ratio((weights * x * y).sum(axis=1), np.sqrt(product)), -1.0, 1.0)
    return np.where(constant_y, np.nan, np.where(constant_x, 0.0, r))


def root_mean_square(errors: ArrayLike) -> Sums:
    """The square root of the mean squared error."""
    squares = mean(np.asarray(errors, dtype=np.float64) ** 2)
    return Sums(squares.columns, lambda sums: np.sqrt(squares.combine(sums)))


def calibration_slope(
    predicted: ArrayLike, actual: ArrayLike, counted: ArrayLike | None = None
) -> Sums:
    """The slope of the true values on the answered ones (least squares): 1 where answers are calibrated, below 1 where
    they are too extreme, above 1 where they are too timid. Not defined where all answers are the same."""
    r, unit = _correlation(predicted, actual, counted)

    def combine(sums: Array) -> Array:
        n, sx, sy, sxx, _, sxy = sums.T
        variance = n * sxx - sx**2
        return unit * ratio(n * sxy - sx * sy, np.where(variance <= 1e-12 * n * n, 0.0, variance))

    return Sums(r.columns, combine, r.about)


def macro_f1(predicted: Sequence[str | None], actual: Sequence[str]) -> Sums:
    """The mean of the classes' F1, over the classes that occur among answers or references.

    A class of which a resample holds neither is left out of that resample's mean.
    """
    classes = sorted({label for label in (*predicted, *actual) if label is not None})
    place = {label: index for index, label in enumerate(classes)}
    columns = np.zeros((len(actual), 3, len(classes)))
    for row, (guess, truth) in enumerate(zip(predicted, actual, strict=True)):
        if guess == truth:
            columns[row, 0, place[truth]] = 1
            continue
        columns[row, 2, place[truth]] = 1
        if guess is not None:
            columns[row, 1, place[guess]] = 1

    def combine(sums: Array) -> Array:
        true, false, missed = sums[:, 0], sums[:, 1], sums[:, 2]
        seen = (true + false + missed) > 0
        f1 = np.where(seen, ratio(2 * true, 2 * true + false + missed), 0.0)
        return ratio(f1.sum(axis=1), seen.sum(axis=1).astype(np.float64))

    return Sums(columns, combine)


def quadratic_kappa(predicted: Sequence[int], actual: Sequence[int], levels: int) -> Sums:
    """Cohen's kappa with quadratic weights (Cohen 1968): 1 is full agreement, 0 that of chance, for ordered classes.

    Not defined where answers and references are all one and the same class.

    Args:
        predicted, actual: `[N]`, 0 to levels - 1.
    """
    columns = np.zeros((len(actual), levels, levels))
    columns[np.arange(len(actual)), np.asarray(actual), np.asarray(predicted)] = 1
    place = np.arange(levels)
    distance = (place[:, None] - place[None, :]) ** 2.0

    def combine(sums: Array) -> Array:
        total = sums.sum(axis=(1, 2))
        truth, said = sums.sum(axis=2), sums.sum(axis=1)
        observed = (sums * distance).sum(axis=(1, 2))
        by_chance = np.einsum("bi,bj,ij->b", truth, said, distance)
        return 1 - ratio(observed * total, by_chance)

    return Sums(columns, combine)


@dataclass(frozen=True, slots=True)
class Confusion:
    """How often each true class was answered as which.

    Attributes:
        actual: the true classes, a row each.
        predicted: the answered ones, a column each; the last is `invalid`.
        counts: `[len(actual), len(predicted)]`.
    """

    actual: tuple[str, ...]
    predicted: tuple[str, ...]
    counts: tuple[tuple[int, ...], ...]


def confusion(
    predicted: Sequence[str | None], actual: Sequence[str], classes: Sequence[str]
) -> Confusion:
    """The confusion matrix; None among `predicted` is an invalid answer."""
    columns = (*classes, "invalid")
    counts = np.zeros((len(classes), len(columns)), dtype=np.intp)
    for said, truth in zip(predicted, actual, strict=True):
        counts[classes.index(truth), -1 if said is None else classes.index(said)] += 1
    return Confusion(tuple(classes), columns, tuple(map(tuple, counts.tolist())))
