"""What a reader should know of a test besides its verdict."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

import numpy as np

from lexitrain.abtest.observations import Observations
from lexitrain.abtest.report.breakdown import Breakdown
from lexitrain.abtest.report.verdict import Evidence
from lexitrain.abtest.report.wording import in_words, signed
from lexitrain.abtest.statistics.effects import Effect, Looking, effect_of
from lexitrain.abtest.statistics.learner_sums import learner_sums
from lexitrain.abtest.statistics.metrics import RATED
from lexitrain.errors import number_of

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
        yield (
            f"Learners fell into the arms {' to '.join(f'{each:,}' for each in ratio.learners)}, which is unlikely "
            f"where the assignment is sound (p = {in_words(ratio.p)}): look again when more have come."
        )
    if imbalance is not None and imbalance < _UNLIKELY:
        yield (
            f"The values from before the test differ between the arms (p = {in_words(imbalance)}), which nothing but "
            "chance should make: were they taken before anybody was assigned?"
        )
    for name, arm in zip(evidence.arms, evidence.effect.arms, strict=True):
        if arm.learners >= 10 and arm.even_learners < _UNEVEN * arm.learners:
            yield (
                f"A few of the {number_of(arm.learners, 'learner')} of {name} are most of what it was asked: "
                "they count as "
                f"{arm.even_learners:,.0f}."
            )


def _of_ratings(seen: Observations, evidence: Evidence, looking: Looking) -> Iterator[str]:
    if not evidence.metric.told_by_learner:
        return
    found = effect_of(learner_sums(seen, RATED.values(seen)), looking)
    if found.always_valid_p is not None and found.always_valid_p < _UNLIKELY:
        assert found.difference is not None
        yield (
            f"Learners rate the answers of {evidence.arms[1]} {'more' if found.difference > 0 else 'less'} often "
            f"({signed(RATED, found.difference)}): those who rate may not be alike in both arms."
        )


def _of_tasks(evidence: Evidence, tasks: Breakdown) -> Iterator[str]:
    equal, whole = tasks.equal_shares, evidence.effect.difference
    if equal is None or whole is None or tasks.mix_p is None or tasks.mix_p >= _UNLIKELY:
        return
    turned = (
        " The sign turns: the difference is one of what was asked for." if equal * whole < 0 else ""
    )
    yield (
        "The arms were not asked for the same tasks. At equal shares of the tasks the difference would be "
        f"{signed(evidence.metric, equal)} instead of {signed(evidence.metric, whole)}.{turned}"
    )


def _of_time(evidence: Evidence, over_time: Sequence[Effect], alpha: float) -> Iterator[str]:
    if evidence.days < _WEEK:
        yield (
            f"The test has seen {evidence.days:.1f} days. Learners of Sunday and Monday differ: whole weeks say more."
        )
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
            yield (
                "An earlier reading showed a difference, and this one does not any more. The earlier one was allowed "
                "to be believed; that it faded may mean that the effect wears off."
            )


def _of_rows(seen: Observations, evidence: Evidence) -> Iterator[str]:
    if evidence.crossed > 0:
        yield (
            f"{number_of(evidence.crossed, 'learner was', 'learners were')} shown both arms. They count in the "
            "one that was assigned, which makes "
            "a difference look smaller than it is."
        )
    if seen.repeated:
        yield f"{number_of(seen.repeated, 'row was', 'rows were')} there more than once, and counted once."
