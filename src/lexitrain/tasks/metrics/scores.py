"""The scores that tasks are made of: mean, distinct-n, chrF; `agreement.py` has those of numbers and classes.

Each is a `Statistic` (or, as `chrf`, the values that `mean` makes one of), so that `bootstrap` can weigh its records.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import lru_cache
from typing import Any
from unicodedata import normalize

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
        proportion: whether it is the share of records that have something.
    """

    columns: Array
    combine: Callable[[Array], Array]
    about: NDArray[np.bool_] | None = None
    proportion: bool = False

    def __call__(self, weights: Array) -> Array:
        return self.combine(np.tensordot(weights, self.columns, axes=1))


def ratio(numerator: Array, denominator: Array) -> Array:
    """Their quotient; NaN, not defined, where the denominator is 0."""
    undefined = np.full_like(numerator, np.nan)
    return np.divide(numerator, denominator, out=undefined, where=denominator != 0)


def mean(values: ArrayLike, counted: ArrayLike | None = None) -> Sums:
    """The mean of one value a record, of those alone where `counted` is true; of truth values their share."""
    given = np.asarray(values)
    value = given.astype(np.float64)
    count = np.ones_like(value) if counted is None else np.asarray(counted, dtype=np.float64)
    total = np.where(count > 0, value, 0.0) * count
    # Truth values are a share. Numbers that happen to be all 0 may be of any scale.
    share = given.dtype == np.bool_ and bool(np.isin(count, (0.0, 1.0)).all())
    return replace(pooled_mean(total, count), proportion=share)


def pooled_mean(totals: ArrayLike, counts: ArrayLike) -> Sums:
    """The mean over all that the records hold: the sum of their `totals` over the sum of their `counts`."""
    columns = np.stack([np.asarray(totals, np.float64), np.asarray(counts, np.float64)], axis=-1)
    return Sums(columns, lambda sums: ratio(sums[:, 0], sums[:, 1]), columns[:, 1] > 0)


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

    The mean over records is the score; an invalid answer (None) has 0. An accent of its own counts as its letter's.

    Raises:
        MissingExtra: sacrebleu is not installed.
    """
    metric = _chrf_metric()
    return [
        0.0
        if answer is None
        else float(metric.sentence_score(_composed(answer), [*map(_composed, texts)]).score) / 100
        for answer, texts in zip(answers, references, strict=True)
    ]


def _composed(text: str) -> str:
    return normalize("NFC", text)


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
