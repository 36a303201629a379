"""What must not get worse whatever else gets better: slow answers, errors, answers that cannot be read.

All of them may be looked at at any time, and all of them together stop a harmless test with a chance of alpha at most.
Of the slowest twentieth the interval is Woodruff's (1952): that of the share of answers that are faster, read off the
observed distribution.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, replace
from typing import Literal

import numpy as np

from lexitrain.abtest.observations import Observations
from lexitrain.abtest.ranges import LONGEST_WAIT, require_between
from lexitrain.abtest.sentences import sentence
from lexitrain.abtest.statistics.effects import Looking, arm_share, effect_of
from lexitrain.abtest.statistics.learner_sums import learner_sums
from lexitrain.abtest.statistics.metrics import ERRORS, INVALID_JSON, Metric

SLOWEST = 0.95
_COUNT = 3  # guardrails, that share alpha

State = Literal["fine", "harm", "not enough yet"]


@dataclass(frozen=True, slots=True)
class AbLimits:
    """What counts as harm.

    Attributes:
        error_rate: more errors than the other arm, as a share of requests.
        invalid_json_rate: more answers that cannot be read, as a share of requests.
        slower: times the other arm's p95 latency.
        p95_seconds: that neither arm's p95 latency may exceed; None: as it comes.

    Raises:
        InputError: a limit that nothing could be beyond, or that everything would be.
    """

    error_rate: float = ERRORS.margin
    invalid_json_rate: float = INVALID_JSON.margin
    slower: float = 1.5
    p95_seconds: float | None = None

    def __post_init__(self) -> None:
        share = "limit of a difference of shares"
        require_between(self.error_rate, 1e-6, 0.99, "--errors", share)
        require_between(self.invalid_json_rate, 1e-6, 0.99, "--invalid-json", share)
        require_between(self.slower, 1, 100, "--slower", "limit of how many times slower an arm is")
        if self.p95_seconds is not None:
            limit = "limit of the p95 latency in seconds"
            require_between(self.p95_seconds, 1e-3, LONGEST_WAIT, "--p95", limit)


@dataclass(frozen=True, slots=True)
class Guardrail:
    """One guardrail.

    Attributes:
        name: `p95_seconds`, `error_rate` or `invalid_json_rate`.
        title: as a person reads it.
        values: of each arm, None where it cannot be told.
        low, high: interval to look at at any time: of a rate's difference, of p95 the ratio (other over first).
        limit: that the interval is held against.
        state: `harm` where the whole interval is beyond the limit, `fine` where none of it is.
        harmful: the arm that does the harm, 0 or 1.
        reason: in words, of harm.
    """

    name: str
    title: str
    values: tuple[float | None, float | None]
    low: float | None
    high: float | None
    limit: float
    state: State
    harmful: int | None = None
    reason: str | None = None


def guardrails(seen: Observations, limits: AbLimits, looking: Looking) -> tuple[Guardrail, ...]:
    """All guardrails of a test, each at a third of `looking.alpha`."""
    each = replace(looking, alpha=looking.alpha / _COUNT)
    return (
        _slowest(seen, limits, each),
        _rate(seen, ERRORS, limits.error_rate, each),
        _rate(seen, INVALID_JSON, limits.invalid_json_rate, each),
    )


def _rate(seen: Observations, metric: Metric, limit: float, looking: Looking) -> Guardrail:
    found = effect_of(learner_sums(seen, metric.values(seen)), looking)
    low, high = found.sequence_low, found.sequence_high
    guard = Guardrail(
        metric.name,
        metric.title,
        (found.arms[0].value, found.arms[1].value),
        low,
        high,
        limit,
        "not enough yet",
    )
    if low is None or high is None:
        return guard
    harmful = 1 if low > limit else 0 if high < -limit else None
    if harmful is not None:
        least = low if harmful else -high
        return replace(
            guard,
            state="harm",
            harmful=harmful,
            reason=sentence("rate_harm", metric=metric.title, least=100 * least),
        )
    return replace(guard, state="fine" if max(-low, high) <= limit else "not enough yet")


@dataclass(frozen=True, slots=True)
class _Slow:
    value: float | None
    low: float | None
    high: float | None  # None: as slow as nobody knows


def _slowest(seen: Observations, limits: AbLimits, looking: Looking) -> Guardrail:
    first, other = (_p95(seen, arm, replace(looking, alpha=looking.alpha / 2)) for arm in (0, 1))
    guard = Guardrail(
        "p95_seconds",
        sentence("p95_seconds"),
        (first.value, other.value),
        _over(other.low, first.high),
        _over(other.high, first.low),
        limits.slower,
        "not enough yet",
    )
    for arm, (own, than) in enumerate(((first, other), (other, first))):
        least = _over(own.low, than.high)
        if least is not None and least > limits.slower:
            return _harm(guard, arm, sentence("slower_harm", least=least))
        most = limits.p95_seconds
        if most is not None and own.low is not None and own.low > most:
            return _harm(guard, arm, sentence("slow_harm", low=own.low, most=most))
    ratios = _over(other.high, first.low), _over(first.high, other.low)
    if all(each is not None and each <= limits.slower for each in ratios) and (
        limits.p95_seconds is None
        or all(each.high is not None and each.high <= limits.p95_seconds for each in (first, other))
    ):
        return replace(guard, state="fine")
    return guard


def _harm(guard: Guardrail, arm: int, reason: str) -> Guardrail:
    return replace(guard, state="harm", harmful=arm, reason=reason)


def _over(high: float | None, low: float | None) -> float | None:
    return None if high is None or low is None or not low > 0 else high / low


def _p95(seen: Observations, arm: int, looking: Looking) -> _Slow:
    """The p95 latency of an arm in seconds, with its interval."""
    own = (seen.assigned[seen.learner] == arm) & ~np.isnan(seen.latency_ms)
    ordered = np.sort(seen.latency_ms[own]) / 1000
    if not len(ordered):
        return _Slow(None, None, None)
    value = _at(ordered, SLOWEST)
    faster = np.where(own, (seen.latency_ms / 1000 <= value).astype(np.float64), np.nan)
    half = arm_share(learner_sums(seen, faster).of(arm), SLOWEST, looking)
    if half is None:
        return _Slow(value, None, None)
    high = SLOWEST + half
    return _Slow(
        value, _at(ordered, max(0.0, SLOWEST - half)), None if high >= 1 else _at(ordered, high)
    )


def _at(ordered: np.ndarray, level: float) -> float:
    """The smallest value that a share of `level` does not exceed."""
    place = math.ceil(level * len(ordered) - 1e-9) - 1
    return float(ordered[min(max(place, 0), len(ordered) - 1)])
