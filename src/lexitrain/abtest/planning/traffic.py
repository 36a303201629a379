"""Who comes, how often, and what that makes of a sample size; given, or taken from a former test."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from lexitrain.abtest.observations import Observations
from lexitrain.abtest.statistics.metrics import metric_named
from lexitrain.errors import DataError

_DAY = 86400.0


@dataclass(frozen=True, slots=True)
class AbTraffic:
    """Learners of a test.

    Attributes:
        learners_a_day: new ones, both arms together.
        visits: requests of a learner during the test, mean.
        visits_deviation: and standard deviation.
        told: share of requests that have a value of the metric, such as a rating.
        alike: correlation of two values of one learner (intraclass), 0 to 1.
        learners: most that there are; None: they keep coming.
    """

    learners_a_day: float
    visits: float = 1.0
    visits_deviation: float = 0.0
    told: float = 1.0
    alike: float = 0.0
    learners: int | None = None

    @property
    def values(self) -> float:
        """Values of the metric that a learner gives, mean."""
        return self.visits * self.told

    @property
    def design_effect(self) -> float:
        """By how much the variance is larger than that of as many independent values: 1 + ρ (E[m²]/E[m] - 1), with m
        values of a learner (Kish 1965), here of m out of the visits that are told with a chance of `told` each."""
        pairs = self.visits_deviation**2 / self.visits + self.visits - 1
        return 1 + self.alike * self.told * max(0.0, pairs)

    @property
    def unevenness(self) -> float:
        """E[m²] / E[m]²: as many times the learners are needed for as many that ask evenly."""
        spread = self.visits_deviation**2 * self.told**2 + self.told * (1 - self.told) * self.visits
        return 1 + spread / self.values**2

    @property
    def variance_factor(self) -> float:
        """The variance of an arm's value is that of one exposure, times this, over the arm's learners."""
        return self.design_effect / self.values


@dataclass(frozen=True, slots=True)
class FormerTest:
    """What a former test says of the next one.

    Attributes:
        baseline: of the first arm.
        deviation: of one value within its arm.
        traffic: who came.
    """

    baseline: float
    deviation: float
    traffic: AbTraffic


def former_test(seen: Observations, metric: str) -> FormerTest:
    """Baseline, deviation and traffic of a former test.

    The correlation within learners is that of the analysis of variance (Donner & Koval 1980).

    Args:
        seen: the former test.
        metric: name of the metric.

    Raises:
        InputError: there is no such metric.
        DataError: the test has no value of it, or has seen less than a day.
    """
    values = metric_named(metric).values(seen)
    arm = seen.assigned[seen.learner]
    told = ~np.isnan(values)
    own = told & (arm == 0)
    if not own.any():
        raise DataError(
            f"The test has no value of `{metric}` in its first arm.",
            where=seen.experiment.name,
        )
    days = float(seen.time[-1] - seen.time[0]) / _DAY
    if days < 1:
        raise DataError(
            "The test has seen less than a day: nobody can tell from it how many learners come.",
            where=seen.experiment.name,
            fix="Say it with --learners-per-day.",
        )
    means = np.array(
        [
            values[told & (arm == each)].mean() if (told & (arm == each)).any() else 0.0
            for each in (0, 1)
        ]
    )
    centred = values[told] - means[arm[told]]
    visits = np.bincount(seen.learner, minlength=len(seen.learners))
    visits = visits[visits > 0]
    return FormerTest(
        baseline=float(values[own].mean()),
        deviation=float(np.sqrt(np.mean(centred**2))),
        traffic=AbTraffic(
            learners_a_day=len(visits) / days,
            visits=float(visits.mean()),
            visits_deviation=float(visits.std()),
            told=float(told.mean()),
            alike=alike_within(centred, seen.learner[told]),
        ),
    )


def alike_within(values: np.ndarray, learner: np.ndarray) -> float:
    """The correlation of two values of one learner, 0 to 1; 0 where nobody has two.

    Args:
        values: `[E]`.
        learner: `[E]`, whose each is.
    """
    _, place, counts = np.unique(learner, return_inverse=True, return_counts=True)
    n, k = len(values), len(counts)
    if n == k or k < 2:
        return 0.0
    means = np.bincount(place, weights=values) / counts
    within = float(np.sum((values - means[place]) ** 2)) / (n - k)
    between = float(np.sum(counts * (means - values.mean()) ** 2)) / (k - 1)
    size = (n - float(np.sum(counts**2)) / n) / (k - 1)
    total = between + (size - 1) * within
    return min(1.0, max(0.0, (between - within) / total)) if total > 0 else 0.0
