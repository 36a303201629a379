"""`ab plan`: how many learners and days a test takes, and whether it is worth to begin it."""

from __future__ import annotations

import math
from dataclasses import asdict, dataclass, replace
from typing import Any, Literal

from lexitrain.abtest.observations import PlannedTest
from lexitrain.abtest.planning.power import MOST_LOOKS, crossing, fixed_effect, sequential_effect
from lexitrain.abtest.planning.traffic import AbTraffic
from lexitrain.abtest.ranges import require_between, require_ratio
from lexitrain.abtest.statistics.metrics import metric_named
from lexitrain.abtest.statistics.sequence import LEAST_LEARNERS
from lexitrain.errors import InputError

WEEK = 7
LEAST_OF_AN_ARM = 20
"""Learners below which means of learners are not near enough to normal for a promise."""
_MOST_LEARNERS = 10**9


@dataclass(frozen=True, slots=True)
class AbQuestion:
    """What a test is to find out.

    Attributes:
        metric: name of the metric that decides.
        baseline: its value in the first arm.
        effect: smallest difference worth finding, in units of the metric; below 0: a fall.
        deviation: standard deviation of one value; None of a share, whose baseline says it.
        alpha: chance to call a difference where there is none.
        power: chance to find `effect`.
        ratio: in which learners are assigned.
    """

    metric: str
    baseline: float
    effect: float
    deviation: float | None = None
    alpha: float = 0.05
    power: float = 0.8
    ratio: tuple[float, float] = (1.0, 1.0)


@dataclass(frozen=True, slots=True)
class Size:
    """What one way of reading a test takes.

    Attributes:
        learners: of both arms together, at which it ends at the latest.
        exposures: that have a value by then, both arms together.
        days: until they have come; not rounded to weeks.
        typical_learners: at which half of the tests have ended that find the effect; of one look the end.
    """

    learners: int
    exposures: int
    days: int
    typical_learners: int


@dataclass(frozen=True, slots=True)
class AbPlan:
    """A plan.

    Attributes:
        question: what is to be found out.
        traffic: who comes.
        kind: how the test is to be read.
        fixed: if it is read once.
        sequential: if it may be read every day.
        most_days: beyond which a test is hopeless.
        within: learners who come in `most_days`, or all that there are.
        smallest: effect that is found in that time, in each kind; None: none that a share can have.
    """

    question: AbQuestion
    traffic: AbTraffic
    kind: Literal["fixed", "sequential"]
    fixed: Size
    sequential: Size
    most_days: int
    within: int
    smallest: tuple[float | None, float | None]

    @property
    def chosen(self) -> Size:
        """Of the kind that was chosen."""
        return self.fixed if self.kind == "fixed" else self.sequential

    @property
    def cost(self) -> float:
        """Learners of the sequence at the latest, for each of one look."""
        return self.sequential.learners / self.fixed.learners

    @property
    def hopeless(self) -> bool:
        """Whether so many learners do not come in time."""
        return self.chosen.learners > self.within

    @property
    def possible(self) -> float | None:
        """The smallest effect that is found in time by the kind that was chosen; None: none."""
        return self.smallest[0 if self.kind == "fixed" else 1]

    @property
    def weeks(self) -> int:
        """Whole weeks that it runs: the days of a week differ."""
        return max(1, math.ceil(self.chosen.days / WEEK))

    @property
    def planned(self) -> PlannedTest:
        """What the report of the test needs to know of it."""
        return PlannedTest(
            metric=self.question.metric,
            effect=abs(self.question.effect),
            learners=self.chosen.learners,
            exposures=self.chosen.exposures,
            design_effect=self.traffic.design_effect,
            kind=self.kind,
            alpha=self.question.alpha,
            power=self.question.power,
        )

    def to_json(self) -> dict[str, Any]:
        """As JSON; `planned` is what `ab report` and an experiment take."""
        return {
            "question": asdict(self.question),
            "traffic": {
                **asdict(self.traffic),
                "values": self.traffic.values,
                "design_effect": self.traffic.design_effect,
            },
            "kind": self.kind,
            "fixed": asdict(self.fixed),
            "sequential": asdict(self.sequential),
            "sequential_cost": self.cost,
            "weeks": self.weeks,
            "hopeless": self.hopeless,
            "most_days": self.most_days,
            "learners_in_that_time": self.within,
            "smallest_effect_in_that_time": {
                "fixed": self.smallest[0],
                "sequential": self.smallest[1],
            },
            "planned": asdict(self.planned),
        }


def plan_ab(
    question: AbQuestion,
    traffic: AbTraffic,
    *,
    kind: Literal["fixed", "sequential"] = "sequential",
    most_days: int = 90,
) -> AbPlan:
    """Plan a test.

    Args:
        question: what is to be found out.
        traffic: who comes.
        kind: how it is to be read: once at its end, or as often as one likes.
        most_days: beyond which it is hopeless.

    Raises:
        InputError: a number that no test has.
    """
    _check(question, traffic, most_days)
    within = math.floor(most_days * traffic.learners_a_day)
    if traffic.learners is not None:
        within = min(within, traffic.learners)
    return AbPlan(
        question=question,
        traffic=traffic,
        kind=kind,
        fixed=_size(question, traffic, "fixed"),
        sequential=_size(question, traffic, "sequential"),
        most_days=most_days,
        within=within,
        smallest=(
            _smallest(question, traffic, "fixed", within),
            _smallest(question, traffic, "sequential", within),
        ),
    )


def _size(question: AbQuestion, traffic: AbTraffic, kind: str) -> Size:
    theta, typical = fixed_effect(question.alpha, question.power), 1.0
    wanted = _learners(question, traffic, theta, kind)
    if kind == "sequential":
        read = wanted
        for _ in range(3):  # the looks are as many as the days, and the days come of the looks
            read = wanted
            theta = _sequential_effect(question, traffic, read)
            wanted = _learners(question, traffic, theta, kind)
        typical = crossing(theta, question.alpha, *_reading(question, traffic, read)).typical
    return Size(
        learners=wanted,
        exposures=math.ceil(wanted * traffic.values),
        days=math.ceil(wanted / traffic.learners_a_day),
        typical_learners=min(wanted, math.ceil(wanted * typical)),
    )


def _sequential_effect(question: AbQuestion, traffic: AbTraffic, learners: int) -> float:
    """θ of a test of as many learners that is read every day."""
    return sequential_effect(question.alpha, question.power, *_reading(question, traffic, learners))


def _reading(question: AbQuestion, traffic: AbTraffic, learners: int) -> tuple[int, float]:
    """How often a test of as many learners is read, and the share of them before which there is no sequence, to two
    digits."""
    least = LEAST_LEARNERS * traffic.unevenness * sum(question.ratio) / min(question.ratio)
    looks = min(MOST_LOOKS, max(1, math.ceil(learners / traffic.learners_a_day)))
    return looks, min(1.0, round(least / learners, 2))


def _learners(question: AbQuestion, traffic: AbTraffic, theta: float, kind: str) -> int:
    """Of both arms together, so that the effect is `theta` standard errors, and there are enough for an interval."""
    if question.effect == 0:
        return _MOST_LEARNERS
    shares = [each / sum(question.ratio) for each in question.ratio]
    variances = _variances(question)
    variance = sum(each / share for each, share in zip(variances, shares, strict=True))
    wanted = variance * traffic.variance_factor * (theta / question.effect) ** 2
    least = LEAST_OF_AN_ARM if kind == "fixed" else LEAST_LEARNERS * traffic.unevenness
    least /= min(shares)
    if not wanted <= _MOST_LEARNERS:
        return _MOST_LEARNERS
    return math.ceil(max(wanted, least))


def _variances(question: AbQuestion) -> tuple[float, float]:
    """Of one value in each arm."""
    if question.deviation is not None:
        return question.deviation**2, question.deviation**2
    other = question.baseline + question.effect
    return question.baseline * (1 - question.baseline), other * (1 - other)


def _smallest(question: AbQuestion, traffic: AbTraffic, kind: str, learners: int) -> float | None:
    """The smallest effect, of the sign that was asked for, that as many learners find."""
    sign = math.copysign(1.0, question.effect)
    if question.deviation is None:
        most = (1 - question.baseline) if sign > 0 else question.baseline
        low, high = 0.0, most * (1 - 1e-9)
    else:
        low, high = 0.0, question.deviation * 100
    if learners < 1:
        return None
    theta = fixed_effect(question.alpha, question.power)
    if kind == "sequential":
        theta = _sequential_effect(question, traffic, learners)
    if _learners(replace(question, effect=sign * high), traffic, theta, kind) > learners:
        return None
    for _ in range(60):
        middle = (low + high) / 2
        if _learners(replace(question, effect=sign * middle), traffic, theta, kind) > learners:
            low = middle
        else:
            high = middle
    return sign * high


def _check(question: AbQuestion, traffic: AbTraffic, most_days: int) -> None:
    metric = metric_named(question.metric)
    require_between(question.power, 0.5, 0.999, "--power", "power")
    require_between(question.alpha, 1e-6, 0.5, "--alpha", "alpha")
    require_ratio(question.ratio)
    if not math.isfinite(question.effect) or question.effect == 0:
        raise InputError("An effect is a difference other than 0.", where="--effect")
    if metric.kind == "share":
        require_between(question.baseline, 1e-6, 1 - 1e-6, "--baseline", "baseline of a share")
        other = question.baseline + question.effect
        if not 0 < other < 1:
            raise InputError(
                f"From {question.baseline:g} by {question.effect:+g} is {other:g}, and a share lies between 0 and 1.",
                where="--effect",
                fix="Five points of a hundred are 0.05; a twentieth of the baseline is 5%.",
            )
    elif question.deviation is None or not 0 < question.deviation < math.inf:
        raise InputError(
            f"Of a mean the standard deviation of one value must be known ({metric.title}).",
            where="--sd",
            fix="Take it from a former test with --from, or say it with --sd.",
        )
    else:
        low, high = metric.range
        require_between(question.baseline, low, high, "--baseline", f"baseline ({metric.title})")
        require_between(
            question.baseline + question.effect, low, high, "--effect", "baseline with the effect"
        )
    _check_traffic(traffic, most_days)


def _check_traffic(traffic: AbTraffic, most_days: int) -> None:
    require_between(traffic.learners_a_day, 1e-6, 1e9, "--learners-per-day", "learners a day")
    require_between(traffic.visits, 1, 1e6, "--visits", "mean of visits of a learner")
    require_between(traffic.visits_deviation, 0, 1e6, "--visits-sd", "deviation of visits")
    require_between(traffic.told, 1e-6, 1, "--rated", "share of requests that are rated")
    require_between(traffic.alike, 0, 1, "--alike", "correlation within learners")
    if traffic.learners is not None and traffic.learners < 2:
        raise InputError("A test takes two learners at least.", where="--learners")
    require_between(most_days, 1, 36_500, "--most-days", "number of days")
