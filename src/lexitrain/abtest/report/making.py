"""From what a test has seen to what it says."""

from __future__ import annotations

from dataclasses import replace

import numpy as np

from lexitrain.abtest.observations import Experiment, Observations, PlannedTest
from lexitrain.abtest.ranges import require_between
from lexitrain.abtest.report.breakdown import breakdown
from lexitrain.abtest.report.cautions import cautions_of
from lexitrain.abtest.report.content import DAY, AbReport, MetricEffect, Moment
from lexitrain.abtest.report.verdict import Evidence, verdict_of
from lexitrain.abtest.statistics.effects import Looking, effect_of
from lexitrain.abtest.statistics.harm import AbLimits, guardrails
from lexitrain.abtest.statistics.learner_sums import learner_sums
from lexitrain.abtest.statistics.metrics import METRIC, Metric
from lexitrain.abtest.statistics.pre_period import imbalance
from lexitrain.abtest.statistics.sample_ratio import sample_ratio
from lexitrain.abtest.statistics.sequence import TUNED_FOR, harmonic
from lexitrain.errors import InputError
from lexitrain.tasks import holm

ALPHA = 0.05
_MOMENTS = 30


def report_ab(
    seen: Observations,
    *,
    planned: PlannedTest | None = None,
    margin: float | None = None,
    limits: AbLimits | None = None,
    moments: int = _MOMENTS,
) -> AbReport:
    """What a test says now. It may be asked as often as one likes.

    Every learner counts in the arm that was assigned, whatever was shown later (intention to treat), and a learner's
    exposures are not taken as independent.

    Args:
        seen: all that the test has seen.
        planned: what was decided before; by default what the experiment says.
        margin: how much worse counts as no worse, in units of the metric that decides.
        limits: what counts as harm.
        moments: how many points the picture over time has; 0: none.

    Raises:
        InputError: the margin is none that the metric can have, or the plan is about another metric than the one that
            decides.
    """
    experiment = seen.experiment
    planned = planned or experiment.planned
    primary = METRIC[experiment.metrics[0]]
    if planned is not None and planned.metric != primary.name:
        raise InputError(
            f"The plan is about `{planned.metric}`, and `{primary.name}` decides the test.",
            where=experiment.name,
            fix="The metric that decides is chosen before the test: name it first in `metrics`, or plan for it.",
        )
    margin = primary.margin if margin is None else margin
    low, high = primary.range
    require_between(margin, 1e-6, min(high - low, 1e6), "--margin", f"margin ({primary.title})")
    limits = limits or AbLimits()
    looking = looking_of(experiment, planned)
    ratio = sample_ratio(seen.assigned, experiment.ratio)
    metrics = _metrics(seen, looking)
    guards = guardrails(seen, limits, looking)
    crossed = crossed_learners(seen)
    found = tuple(_moments(seen, primary, looking, moments))
    tasks = breakdown(seen, primary, looking)
    uneven = imbalance((seen.pre[seen.assigned == 0], seen.pre[seen.assigned == 1]))
    evidence = Evidence(
        arms=experiment.arms,
        metric=primary,
        effect=metrics[0].effect,
        margin=margin,
        planned=planned,
        learners=len(seen.learners),
        days=float(seen.time[-1] - seen.time[0]) / DAY,
        crossed=crossed,
        sample_ratio=ratio,
        guardrails=guards,
    )
    return AbReport(
        experiment=replace(experiment, planned=planned),
        alpha=looking.alpha,
        margin=margin,
        learners=len(seen.learners),
        exposures=len(seen.time),
        first=float(seen.time[0]),
        last=float(seen.time[-1]),
        crossed=crossed,
        verdict=verdict_of(evidence),
        metrics=metrics,
        guardrails=guards,
        sample_ratio=ratio,
        pre_imbalance=uneven,
        tasks=tasks,
        moments=found,
        cautions=cautions_of(
            seen, evidence, looking, uneven, tasks, [each.effect for each in found]
        ),
    )


def looking_of(experiment: Experiment, planned: PlannedTest | None) -> Looking:
    """How the intervals of a test are made: narrowest at its planned end."""
    size = TUNED_FOR if planned is None else planned.exposures * planned.design_effect
    first, other = (size * each / sum(experiment.ratio) for each in experiment.ratio)
    return Looking(ALPHA if planned is None else planned.alpha, harmonic(first, other))


def crossed_learners(seen: Observations) -> int:
    """Learners who were shown the arm that they were not assigned to."""
    other = seen.arm != seen.assigned[seen.learner]
    return len(np.unique(seen.learner[other]))


def _metrics(seen: Observations, looking: Looking) -> tuple[MetricEffect, ...]:
    asked = [METRIC[name] for name in seen.experiment.metrics]
    effects = [
        effect_of(learner_sums(seen, each.values(seen)), looking, each.step) for each in asked
    ]
    once = [effects[0].p, *holm([each.p for each in effects[1:]])]
    always = [effects[0].always_valid_p, *holm([each.always_valid_p for each in effects[1:]])]
    return tuple(MetricEffect(*each) for each in zip(asked, effects, once, always, strict=True))


def _moments(seen: Observations, metric: Metric, looking: Looking, count: int) -> list[Moment]:
    """As many moments, equally far apart, from shortly after the first exposure to the last."""
    values = metric.values(seen)
    first, last = float(seen.time[0]), float(seen.time[-1])
    found: list[Moment] = []
    for place in range(1, count + 1 if last > first else 1):
        time = last if place == count else first + (last - first) * place / count
        sums = learner_sums(seen, values, until=time)
        found.append(Moment(time, len(sums.arm), effect_of(sums, looking, metric.step)))
    return found
