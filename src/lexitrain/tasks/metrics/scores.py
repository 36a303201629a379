"""The scores that tasks are made of: mean, Pearson's r, macro-F1, distinct-n, chrF.

Each is a `Statistic` (or, as `chrf`, the values that `mean` makes one of), so that `bootstrap` can weigh its records.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from functools import lru_cache
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from lexitrain.errors import MissingExtra
from lexitrain.tasks.metrics.bootstrap import Array
from lexitrain.tasks.metrics.tokens import ngrams


@dataclass(frozen=True, slots=True)
class Sums:
    """A statistic that depends on sums over records alone.

    Args:
        columns: `[N, ...]`, what each record adds.
        combine: from the sums `[B, ...]` to the values `[B]`.
        about: `[N]`, the records that the score is about; all by default.
    """

    columns: Array
    combine: Callable[[Array], Array]
    about: NDArray[np.bool_] | None = None

    def __call__(self, weights: Array) -> Array:
        return self.combine(np.tensordot(weights, self.columns, axes=1))


def ratio(numerator: Array, denominator: Array) -> Array:
    """Their quotient; NaN, not defined, where the denominator is 0."""
    undefined = np.full_like(numerator, np.nan)
    return np.divide(numerator, denominator, out=undefined, where=denominator != 0)


def mean(values: ArrayLike, counted: ArrayLike | None = None) -> Sums:
    """The mean of one value a record; of those alone where `counted` is true."""
    value = np.asarray(values, dtype=np.float64)
    count = np.ones_like(value) if counted is None else np.asarray(counted, dtype=np.float64)
    return pooled_mean(np.where(count > 0, value, 0.0) * count, count)


def pooled_mean(totals: ArrayLike, counts: ArrayLike) -> Sums:
    """The mean over all that the records hold: the sum of their `totals` over the sum of their `counts`."""
    columns = np.stack([np.asarray(totals, np.float64), np.asarray(counts, np.float64)], axis=-1)
    return Sums(columns, lambda sums: ratio(sums[:, 0], sums[:, 1]), columns[:, 1] > 0)


def pearson(predicted: ArrayLike, actual: ArrayLike, counted: ArrayLike | None = None) -> Sums:
    """Pearson's r over the records where `counted` is true (all by default).

    Where the actual values are all the same, or there are fewer than two, nothing can correlate with them: not defined.
    A constant predictor of values that differ correlates with nothing: 0.
    """
    x = np.asarray(predicted, dtype=np.float64)
    y = np.asarray(actual, dtype=np.float64)
    used = np.ones(len(x), dtype=np.bool_) if counted is None else np.asarray(counted, np.bool_)
    weight = used.astype(np.float64)
    if used.any():
        x, y = x - x[used].mean(), y - y[used].mean()  # sums of centred values keep their digits
    x, y = np.where(used, x, 0.0), np.where(used, y, 0.0)
    columns = np.stack([weight, x, y, x * x, y * y, x * y], axis=-1)

    def combine(sums: Array) -> Array:
        n, sx, sy, sxx, syy, sxy = sums.T
        variance_x, variance_y = n * sxx - sx**2, n * syy - sy**2
        constant_x, constant_y = (each <= 1e-12 * n * n for each in (variance_x, variance_y))
        product = np.where(constant_x | constant_y, 0.0, variance_x * variance_y)
        r = np.clip(ratio(n * sxy - sx * sy, np.sqrt(product)), -1.0, 1.0)
        return np.where(constant_y, np.nan, np.where(constant_x, 0.0, r))

    return Sums(columns, combine, None if counted is None else used)


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


@dataclass(frozen=True, slots=True)
class Distinct:
    """Distinct-n: unique n-grams over all n-grams of the answers (Li et al. 2016); not defined where there is none.

    A resample repeats records, and a repeated record brings no new n-gram, so resampled values are too low: the
    interval is centred on the value (`centred`), which keeps its width and takes away that bias.
    """

    records: NDArray[np.intp]  # the records of each n-gram, one n-gram after the other
    starts: NDArray[np.intp]  # where each n-gram's records start
    totals: Array  # [N], n-grams of each record, repeated ones counted
    centred: bool = True

    @property
    def about(self) -> NDArray[np.bool_]:
        """The answers that bring an n-gram."""
        return self.totals > 0

    def __call__(self, weights: Array) -> Array:
        if not len(self.starts):
            return np.full(len(weights), np.nan)
        present = np.logical_or.reduceat(weights[:, self.records] > 0, self.starts, axis=1)
        return ratio(present.sum(axis=1).astype(np.float64), weights @ self.totals)


def distinct(answers: Sequence[Sequence[str]], order: int) -> Distinct:
    """Distinct-`order` of tokenized answers; an empty answer brings nothing."""
    counts = [Counter(ngrams(tokens, order)) for tokens in answers]
    holders: dict[tuple[str, ...], list[int]] = {}
    for record, grams in enumerate(counts):
        for gram in grams:
            holders.setdefault(gram, []).append(record)
    lengths = np.array([len(found) for found in holders.values()], dtype=np.intp)
    return Distinct(
        np.array([record for found in holders.values() for record in found], dtype=np.intp),
        np.cumsum(lengths) - lengths,
        np.array([float(grams.total()) for grams in counts]),
    )


def chrf(answers: Sequence[str | None], references: Sequence[Sequence[str]]) -> list[float]:
    """chrF (Popović 2015; character 6-grams, beta 2) of each answer, 0 to 1, against the best of its references.

    The mean over records is the score; an invalid answer (None) has 0.

    Raises:
        MissingExtra: sacrebleu is not installed.
    """
    metric = _chrf_metric()
    return [
        0.0 if answer is None else float(metric.sentence_score(answer, list(texts)).score) / 100
        for answer, texts in zip(answers, references, strict=True)
    ]


@lru_cache(maxsize=1)
def _chrf_metric() -> Any:
    try:
        from sacrebleu.metrics.chrf import CHRF
    except ImportError as error:
        raise MissingExtra("sacrebleu", "eval") from error
    return CHRF()


def texts(answers: Sequence[Mapping[str, Any] | None], key: str) -> list[str | None]:
    """The text under `key` of each valid answer, None for an invalid one."""
    return [None if answer is None else answer[key] for answer in answers]


def most_frequent(values: Iterable[str]) -> str:
    """The value that occurs most often; of equals the first met."""
    return Counter(values).most_common(1)[0][0]
