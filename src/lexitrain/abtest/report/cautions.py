"""What a reader should know of a test besides its verdict."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

import numpy as np

from lexitrain.abtest.observations import Observations
from lexitrain.abtest.report.breakdown import Breakdown
from lexitrain.abtest.report.verdict import Evidence
from lexitrain.abtest.report.wording import in_words, signed, to
from lexitrain.abtest.sentences import sentence
from lexitrain.abtest.statistics.effects import Effect, Looking, effect_of
from lexitrain.abtest.statistics.learner_sums import learner_sums
from lexitrain.abtest.statistics.metrics import RATED

_UNLIKELY = 0.01
_WEEK = 7.0
_UNEVEN = (
    0.2  # even learners as a share of learners, below which a few of them are most of the test
)


def cautions_of(
    seen: Observations,
    evidence: Evidence,
    looking: Looking,
    imbalance: float | None,
    tasks: Breakdown,
    over_time: Sequence[Effect],
) -> tuple[str, ...]:
    """Sentences, the gravest first."""
    return (
        *_of_learners(evidence, imbalance),
        *_of_ratings(seen, evidence, looking),
        *_of_tasks(evidence, tasks),
        *_of_time(evidence, over_time, looking.alpha),
        *_of_rows(seen, evidence),
    )


def _of_learners(evidence: Evidence, imbalance: float | None) -> Iterator[str]:
    ratio = evidence.sample_ratio
    if not ratio.broken and ratio.p < _UNLIKELY:
        yield sentence("ratio_unlikely", said=to(ratio.learners), p=in_words(ratio.p))
    if imbalance is not None and imbalance < _UNLIKELY:
        yield sentence("imbalance", p=in_words(imbalance))
    for name, arm in zip(evidence.arms, evidence.effect.arms, strict=True):
        if arm.learners >= 10 and arm.even_learners < _UNEVEN * arm.learners:
            yield sentence("uneven", learners=arm.learners, arm=name, even=arm.even_learners)


def _of_ratings(seen: Observations, evidence: Evidence, looking: Looking) -> Iterator[str]:
    if not evidence.metric.told_by_learner:
        return
    found = effect_of(learner_sums(seen, RATED.values(seen)), looking)
    if found.always_valid_p is not None and found.always_valid_p < _UNLIKELY:
        assert found.difference is not None
        yield sentence(
            "rated_more" if found.difference > 0 else "rated_less",
            arm=evidence.arms[1],
            difference=signed(RATED, found.difference),
        )


def _of_tasks(evidence: Evidence, tasks: Breakdown) -> Iterator[str]:
    equal, whole = tasks.equal_shares, evidence.effect.difference
    if equal is None or whole is None or tasks.mix_p is None or tasks.mix_p >= _UNLIKELY:
        return
    metric = evidence.metric
    mix = sentence("task_mix", equal=signed(metric, equal), whole=signed(metric, whole))
    yield sentence("two", first=mix, other=sentence("sign_turns")) if equal * whole < 0 else mix


def _of_time(evidence: Evidence, over_time: Sequence[Effect], alpha: float) -> Iterator[str]:
    if evidence.days < _WEEK:
        yield sentence("few_days", days=evidence.days)
    now = evidence.effect
    if now.sequence_low is None or now.sequence_high is None or evidence.is_fixed:
        return
    if now.sequence_low <= 0 <= now.sequence_high:
        signs = {
            np.sign(each.difference)
            for each in over_time
            if each.difference is not None
            and each.always_valid_p is not None
            and each.always_valid_p < alpha
        }
        if signs:
            yield sentence("faded")


def _of_rows(seen: Observations, evidence: Evidence) -> Iterator[str]:
    if evidence.crossed > 0:
        yield sentence("shown_both", crossed=evidence.crossed)
    if seen.repeated:
        yield sentence("repeated", rows=seen.repeated)
