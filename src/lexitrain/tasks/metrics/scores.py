"""Scores and their bootstrap intervals.

A score is a `Statistic`: a function from record weights `[B, N]` to `B` values. A weight is how often a record occurs
in a resample, so the score itself is the value at all ones, and the percentile bootstrap (Efron & Tibshirani 1993,
ch. 13) is one matrix product for scores made of sums. 1,000 resamples of 1,000 records take some 10 ms a score.
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


@dataclass(frozen=True, slots=True)
class Sums:
    """A statistic that depends on sums over records alone.

    Args:
        columns: `[N, ...]`, what each record adds.
        combine: from the sums `[B, ...]` to the values `[B]`.
    """

    columns: Array
    combine: Callable[[Array], Array]

    def __call__(self, weights: Array) -> Array:
        return self.combine(np.tensordot(weights, self.columns, axes=1))


@dataclass(frozen=True, slots=True)
class Distinct:
    """Distinct-n: unique n-grams over all n-grams of the answers (Li et al. 2016).

    A resample repeats records, and a repeated record brings no new n-gram, so resampled values are too low: the
    interval is centred on the value (`centred`), which keeps its width and takes away that bias.
    """

    records: NDArray[np.intp]  # the records of each n-gram, one n-gram after the other
    starts: NDArray[np.intp]  # where each n-gram's records start
    totals: Array  # [N], n-grams of each record, repeated ones counted
    centred: bool = True

    def __call__(self, weights: Array) -> Array:
        if not len(self.starts):
            return np.zeros(len(weights))
        present = np.logical_or.reduceat(weights[:, self.records] > 0, self.starts, axis=1)
        return ratio(present.sum(axis=1).astype(np.float64), weights @ self.totals)


def ratio(numerator: Array, denominator: Array) -> Array:
    """Their quotient; 0 where the denominator is 0."""
    return np.divide(numerator, denominator, out=np.zeros_like(numerator), where=denominator != 0)


def mean(values: ArrayLike, counted: ArrayLike | None = None) -> Sums:
    """The mean of one value a record; of those alone where `counted` is true."""
    value = np.asarray(values, dtype=np.float64)
    count = np.ones_like(value) if counted is None else np.asarray(counted, dtype=np.float64)
    columns = np.stack([value * count, count], axis=-1)
    return Sums(columns, lambda sums: ratio(sums[:, 0], sums[:, 1]))


def pearson(predicted: ArrayLike, actual: ArrayLike) -> Sums:
    """Pearson's r. A constant predictor correlates with nothing: 0."""
    x = np.asarray(predicted, dtype=np.float64)
    y = np.asarray(actual, dtype=np.float64)
    x, y = x - x.mean(), y - y.mean()  # sums of centred values keep their digits
    columns = np.stack([np.ones_like(x), x, y, x * x, y * y, x * y], axis=-1)

    def combine(sums: Array) -> Array:
        n, sx, sy, sxx, syy, sxy = sums.T
        variance_x, variance_y = n * sxx - sx**2, n * syy - sy**2
        product = np.clip(variance_x, 0, None) * np.clip(variance_y, 0, None)
        product[(variance_x <= 1e-12 * n * n) | (variance_y <= 1e-12 * n * n)] = 0.0
        return np.clip(ratio(n * sxy - sx * sy, np.sqrt(product)), -1.0, 1.0)

    return Sums(columns, combine)


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
        f1 = ratio(2 * true, 2 * true + false + missed)
        return ratio(f1.sum(axis=1), seen.sum(axis=1).astype(np.float64))

    return Sums(columns, combine)


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


def ngrams(tokens: Sequence[str], order: int) -> list[tuple[str, ...]]:
    """All runs of `order` tokens."""
    return [tuple(tokens[i : i + order]) for i in range(len(tokens) - order + 1)]


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
