"""Whether two models differ, asked of the same records: interval, p value, verdict, and the records it would take.

Both models answered the same records, so differences are taken record by record. The interval is the bootstrap's of the
difference, groups drawn as a whole. The p value is that of the exchange test (Fisher 1935; Good 2005, ch. 3): if the
models were equal, whose answer is whose would not matter, so the answers of whole groups are exchanged at random and
the difference is looked at again. Both work for any statistic, because a statistic is a function of how often each
record counts: it is made once, over the answers of both models, and one of the two answers of a record counts.

Where the answers are right and wrong alike, resamples show no difference, and that says little of a few records. The
standard error of a difference of shares is therefore at least that of one group in which the one model is better and
one in which the other is (Bonett & Price 2012), and so is that of any score where all resamples are alike.

Several tasks are several chances to find something: `holm` adjusts their p values (Holm 1979).
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from statistics import NormalDist
from typing import Literal

import numpy as np

from lexitrain.tasks.metrics.bootstrap import (
    Array,
    Statistic,
    about,
    are_alike,
    group_count,
    interval_of,
    resamples,
    t_quantile,
)

EXCHANGES = 4999
POWER = 0.8
"""Chance to find a difference that is there, for which sample sizes are told."""

_CHUNK = 100

NoWorse = Literal["shown", "refuted", "not enough evidence"]


@dataclass(frozen=True, slots=True)
class Difference:
    """The other model's score less the first one's.

    Attributes:
        value: None where one of the two is not defined.
        low, high: its 95 % interval; None where it cannot be told.
        p: two-sided, of the exchange test; None where it cannot be told.
        n: records that the score is about.
        groups: independent groups that they fall into.
        error: standard error.
    """

    value: float | None
    low: float | None
    high: float | None
    p: float | None
    n: int
    groups: int
    error: float | None

    def no_worse(self, margin: float, *, lower_is_better: bool = False) -> NoWorse:
        """Whether the other model is no worse than the first by `margin`: by the 95 % interval, so that it is meant to
        be said wrongly in 2.5 % of cases."""
        if self.low is None or self.high is None:
            return "not enough evidence"
        worst, best = (-self.high, -self.low) if lower_is_better else (self.low, self.high)
        if worst > -margin:
            return "shown"
        return "refuted" if best < -margin else "not enough evidence"

    def records_for(self, size: float) -> int | None:
        """Records that it would take to find a difference of `size` with `POWER`, groups as large as here.

        From the standard error, which falls with the root of the groups. The error is an estimate, so a number made of
        it would be too small in half of the cases; taken is the upper limit of its 80 % confidence (Browne 1995). None
        where the error is not known.
        """
        if self.error is None or self.groups < 2 or not size:
            return None
        normal = NormalDist()
        wanted = normal.inv_cdf(0.975) + normal.inv_cdf(POWER)
        variance = self.error**2 * _upper_factor(self.groups - 1)
        return math.ceil(self.n * variance * (wanted / size) ** 2)

    def records_to_show(self, margin: float, *, lower_is_better: bool = False) -> int | None:
        """Records that it would take to show or refute that the other is no worse by `margin`, if the difference stays
        as it is; None where that is not known."""
        if self.value is None:
            return None
        gain = -self.value if lower_is_better else self.value
        return self.records_for(gain + margin)


def difference(
    statistic: Statistic,
    n: int,
    *,
    groups: Sequence[int] | None = None,
    seed: int = 0,
    test: bool = True,
) -> Difference:
    """The difference of a score between two models that answered the same records.

    Args:
        statistic: over `2 n` records: the first model's answers, then the other's.
        n: records.
        groups: `[n]`, the group of each record; by default each record is a group.
        seed: of resamples and exchanges.
        test: make the exchange test too, which costs five times the rest.
    """
    said = about(statistic, 2 * n)
    used = said[:n] | said[n:]
    first, other = _pair(np.ones((1, n)), np.zeros((1, n)))
    before, after = float(statistic(first)[0]), float(statistic(other)[0])
    value = after - before
    records, count = int(used.sum()), group_count(used, groups)
    if not count or not math.isfinite(value):
        return Difference(None, None, None, None, records, count, None)
    drawn: list[Array] = []
    for weights in resamples(used, groups, seed=seed):
        nothing = np.zeros_like(weights)
        one, two = _pair(weights, nothing)
        drawn.append(statistic(two) - statistic(one))
    values = np.concatenate(drawn)
    interval = interval_of(values, value, count, centred=getattr(statistic, "centred", False))
    if interval is None:
        return Difference(value, None, None, None, records, count, None)
    error = float(values[np.isfinite(values)].std(ddof=1)) * math.sqrt(count / (count - 1))
    least = math.sqrt(2) / (count + 2)
    alike = are_alike(values, max(abs(before), abs(after)))
    if alike or (error < least and getattr(statistic, "proportion", False)):
        error, half = least, t_quantile(0.975, count - 1) * least
        interval = value - half, value + half
    p = _exchange(statistic, value, used, groups, seed) if test else None
    return Difference(value, *interval, p, records, count, error)


def _pair(one: Array, two: Array) -> tuple[Array, Array]:
    """Weights over both models' answers: those of the first model, and those of the other."""
    return np.concatenate([one, two], axis=1), np.concatenate([two, one], axis=1)


def _exchange(
    statistic: Statistic,
    value: float,
    used: np.ndarray,
    groups: Sequence[int] | None,
    seed: int,
) -> float | None:
    """The share of exchanges that differ by as much, the one at hand counted as one of them."""
    names = np.arange(len(used)) if groups is None else np.asarray(groups)
    drawn, place = np.unique(names[used], return_inverse=True)
    generator = np.random.default_rng([seed, 1])
    as_large = defined = 0
    bound = abs(value) - 1e-9 * max(1.0, abs(value))  # equal but for rounding is equal
    for start in range(0, EXCHANGES, _CHUNK):
        rows = min(_CHUNK, EXCHANGES - start)
        swap = np.zeros((rows, len(used)))
        swap[:, used] = generator.integers(0, 2, size=(rows, len(drawn)))[:, place]
        keep = np.where(used, 1.0 - swap, 0.0)
        one, two = _pair(keep, swap)
        values = statistic(two) - statistic(one)
        known = np.isfinite(values)
        defined += int(known.sum())
        as_large += int((np.abs(values[known]) >= bound).sum())
    if defined < 0.95 * EXCHANGES:
        return None
    return (as_large + 1) / (defined + 1)


def records_in_words(count: int) -> str:
    """A number of records that it would take, no more exactly than it is known."""
    return "over a million" if count > 1_000_000 else f"about {count:,}"


def holm(p_values: Sequence[float | None]) -> list[float | None]:
    """The p values adjusted for how many they are (Holm 1979); what is not known stays so and counts for nothing."""
    known = sorted((p, place) for place, p in enumerate(p_values) if p is not None)
    adjusted: list[float | None] = [None] * len(p_values)
    largest = 0.0
    for rank, (p, place) in enumerate(known):
        largest = max(largest, min(1.0, (len(known) - rank) * p))
        adjusted[place] = largest
    return adjusted


def _upper_factor(freedom: int) -> float:
    """What a variance is multiplied by for the upper limit of its 80 % confidence: freedom over the 20 % quantile of
    chi-squared, by Wilson and Hilferty (1931)."""
    spread = 2 / (9 * freedom)
    return (1 - spread + NormalDist().inv_cdf(0.2) * math.sqrt(spread)) ** -3
