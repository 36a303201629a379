"""What is asked of each exposure: the values of a metric, and which way is better."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from lexitrain.abtest.observations import STATUSES, Observations
from lexitrain.abtest.sentences import sentence
from lexitrain.errors import InputError, nearest

Values = NDArray[np.float64]


@dataclass(frozen=True, slots=True)
class Metric:
    """A number that each exposure has or has not.

    Attributes:
        name: in files and options.
        title: as a person reads it, with what it is a share or a mean of.
        kind: `share` (of yes) or `mean`.
        unit: behind its numbers.
        values: of observations: `[E]`, NaN where an exposure has none.
        higher_is_better: else less is.
        margin: how much worse counts as no worse unless said otherwise, in units of the metric.
        step: the smallest change of one value; None where there is none.
        told_by_learner: a learner decides whether there is a value, so that those who tell are not all.
        range: of one value, and so of a mean.
    """

    name: str
    title: str
    kind: Literal["share", "mean"]
    unit: str
    values: Callable[[Observations], Values]
    higher_is_better: bool
    margin: float
    step: float | None = 1.0
    told_by_learner: bool = False
    range: tuple[float, float] = (0.0, 1.0)


def _helpful(seen: Observations) -> Values:
    return seen.helpful


def _stars(seen: Observations) -> Values:
    return seen.stars


def _fixed(seen: Observations) -> Values:
    """What is not told is not fixed, as a learner who gave up tells nothing; but where nothing is ever told, nobody has
    asked."""
    asked = not np.isnan(seen.fixed).all()
    return np.nan_to_num(seen.fixed, nan=0.0) if asked else seen.fixed


def _corrected(seen: Observations) -> Values:
    return seen.corrected


def _seconds(seen: Observations) -> Values:
    return seen.latency_ms / 1000


def _status(name: str) -> Callable[[Observations], Values]:
    place = [*STATUSES].index(name)  # pyright: ignore[reportArgumentType]
    return lambda seen: (seen.status == place).astype(np.float64)


def _rated(seen: Observations) -> Values:
    return (~np.isnan(seen.helpful) | ~np.isnan(seen.stars)).astype(np.float64)


METRIC: Mapping[str, Metric] = {
    each.name: each
    for each in (
        Metric(
            "helpful", sentence("helpful"), "share", "", _helpful, True, 0.05,
            told_by_learner=True,
        ),
        Metric(
            "stars", sentence("stars"), "mean", " stars", _stars, True, 0.25,
            told_by_learner=True, range=(1.0, 5.0),
        ),
        Metric("fixed", sentence("fixed"), "share", "", _fixed, True, 0.05),
        Metric("corrected", sentence("corrected"), "share", "", _corrected, False, 0.05),
        Metric(
            "seconds", sentence("seconds"), "mean", " s", _seconds, False, 0.5,
            step=None, range=(0.0, 86_400.0),
        ),
    )
}  # fmt: skip
"""What a test may ask, by name."""


def metric_named(name: str) -> Metric:
    """A metric of a test.

    Raises:
        InputError: there is none of that name.
    """
    found = METRIC.get(name)
    if found is None:
        close = nearest(name, METRIC)
        raise InputError(
            f"There is no metric {name!r}.",
            where="--metric",
            fix=f"Did you mean {close!r}?" if close else f"Metrics: {', '.join(METRIC)}.",
        )
    return found


def is_share(name: str) -> bool:
    """Whether a metric is a share of yes, else a mean.

    Raises:
        InputError: there is none of that name.
    """
    return metric_named(name).kind == "share"


ERRORS = Metric("error_rate", sentence("error_rate"), "share", "", _status("error"), False, 0.01)
INVALID_JSON = Metric(
    "invalid_json_rate",
    sentence("invalid_json_rate"),
    "share",
    "",
    _status("invalid_json"),
    False,
    0.02,
)
RATED = Metric("rated", sentence("rated"), "share", "", _rated, True, 0.05)
