"""The verdict of a test in plain language, and why.

Which interval decides is decided before the test. A test that was planned to be read once is read once, at its end, by
the interval for one look; before, it has no verdict unless somebody is harmed. Every other test may be read at any
time, by the interval that holds at all times.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Literal

from lexitrain.abtest.observations import PlannedTest
from lexitrain.abtest.report.wording import amount, between, in_words, signed, to
from lexitrain.abtest.sentences import sentence
from lexitrain.abtest.statistics.effects import Effect
from lexitrain.abtest.statistics.harm import Guardrail
from lexitrain.abtest.statistics.metrics import Metric
from lexitrain.abtest.statistics.sample_ratio import SampleRatio

Kind = Literal["broken", "stop", "better", "worse", "no worse", "not enough yet"]

MOST_CROSSED = 0.01
"""Share of learners who were shown both arms above which the assignment is not what it was meant to be."""


@dataclass(frozen=True, slots=True)
class Verdict:
    """What to make of a test.

    Attributes:
        kind: `broken` (do not trust this test), `stop` (an arm does harm), `better`, `worse`, `no worse` (by the
            margin), `not enough yet`.
        headline: one sentence.
        reasons: further ones.
        by: the interval that decided: `sequence` or `fixed`.
        harmful: name of the arm to stop.
    """

    kind: Kind
    headline: str
    reasons: tuple[str, ...]
    by: Literal["sequence", "fixed"]
    harmful: str | None = None


@dataclass(frozen=True, slots=True)
class Evidence:
    """What a verdict is made of; as in `AbReport`."""

    arms: tuple[str, str]
    metric: Metric
    effect: Effect
    margin: float
    planned: PlannedTest | None
    learners: int
    days: float
    crossed: int
    sample_ratio: SampleRatio
    guardrails: tuple[Guardrail, ...]

    @property
    def is_fixed(self) -> bool:
        """Whether the test was planned to be read once."""
        return self.planned is not None and self.planned.kind == "fixed"

    @property
    def is_over(self) -> bool:
        """Whether as many learners as planned have come."""
        return self.planned is not None and self.learners >= self.planned.learners

    @property
    def interval(self) -> tuple[float, float] | None:
        """The interval that decides, as gains: above 0 is better; None where there is none yet."""
        each = self.effect
        pair = (each.low, each.high) if self.is_fixed else (each.sequence_low, each.sequence_high)
        if pair[0] is None or pair[1] is None:
            return None
        return (pair[0], pair[1]) if self.metric.higher_is_better else (-pair[1], -pair[0])


def verdict_of(evidence: Evidence) -> Verdict:
    """The verdict."""
    by: Literal["sequence", "fixed"] = "fixed" if evidence.is_fixed else "sequence"
    broken = _broken(evidence)
    if broken:
        return Verdict("broken", sentence("broken"), tuple(broken), by)
    harm = [each for each in evidence.guardrails if each.state == "harm"]
    if harm:
        arm = evidence.arms[harm[0].harmful or 0]
        reasons = tuple(
            sentence("of_arm", arm=evidence.arms[each.harmful or 0], reason=each.reason)
            for each in harm
        )
        return Verdict("stop", sentence("stop", arm=arm), reasons, by, harmful=arm)
    if evidence.is_fixed and not evidence.is_over:
        assert evidence.planned is not None
        wanted = evidence.planned.learners
        return Verdict(
            "not enough yet",
            sentence("not_over", wanted=wanted, learners=evidence.learners),
            (sentence("not_earlier"),),
            by,
        )
    return _decided(evidence, by)


def _broken(evidence: Evidence) -> list[str]:
    ratio = evidence.sample_ratio
    reasons: list[str] = []
    if ratio.broken:
        often = "not_by_looking" if ratio.always_valid_p < 0.01 else "maybe_by_looking"
        reasons.append(
            sentence(
                "ratio",
                said=to(ratio.learners),
                meant=to(ratio.expected),
                p=in_words(ratio.p),
                often=sentence(often),
            )
        )
    if evidence.crossed > max(1.0, MOST_CROSSED * evidence.learners):
        reasons.append(sentence("crossed", crossed=evidence.crossed, learners=evidence.learners))
    return reasons


def _decided(evidence: Evidence, by: Literal["sequence", "fixed"]) -> Verdict:
    first, other = evidence.arms
    metric, interval, margin = evidence.metric, evidence.interval, evidence.margin
    if interval is None or evidence.effect.difference is None:
        return Verdict(
            "not enough yet",
            sentence("lacking", why=evidence.effect.lacking or sentence("no_interval")),
            (),
            by,
        )
    low, high = interval
    shown = sentence(
        "shown",
        metric=metric.title,
        difference=signed(metric, evidence.effect.difference),
        interval=between(metric, interval),
    )
    if low > 0:
        reasons = (shown, *_not_yet_harmless(evidence))
        return Verdict("better", sentence("better", first=first, other=other), reasons, by)
    if high < 0:
        worse = "worse_beyond" if high < -margin else "worse"
        return Verdict("worse", sentence(worse, first=first, other=other), (shown,), by)
    allowed = amount(metric, margin)
    if low > -margin:
        if high < margin:
            shown = sentence("two", first=shown, other=sentence("as_good", allowed=allowed))
        headline = sentence("no_worse", first=first, other=other, allowed=allowed)
        reasons = (shown, *_not_yet_harmless(evidence))
        return Verdict("no worse", headline, reasons, by)
    return Verdict(
        "not enough yet",
        sentence("not_enough", first=first, other=other),
        (shown, *_outlook(evidence)),
        by,
    )


def _not_yet_harmless(evidence: Evidence) -> list[str]:
    """Guardrails that have not been shown to hold."""
    open_ones = tuple(each.title for each in evidence.guardrails if each.state != "fine")
    return [sentence("not_harmless", titles=open_ones)] if open_ones else []


def _outlook(evidence: Evidence) -> list[str]:
    """How much longer it may take."""
    planned = evidence.planned
    if planned is not None and not evidence.is_over:
        left = planned.learners - evidence.learners
        return [sentence("planned_left", left=left, days=_days_for(evidence, left))]
    if planned is not None:
        effect = amount(evidence.metric, planned.effect)
        return [sentence("planned_over", effect=effect, power=100 * planned.power)]
    interval = evidence.interval
    assert interval is not None
    half = (interval[1] - interval[0]) / 2
    wanted = math.ceil(evidence.learners * (half / evidence.margin) ** 2)
    left = wanted - evidence.learners
    if left <= 0:
        return []
    margin = amount(evidence.metric, evidence.margin)
    return [sentence("about_left", left=left, margin=margin, days=_days_for(evidence, left))]


def _days_for(evidence: Evidence, learners: int) -> str:
    if evidence.days < 1:
        return ""
    days = math.ceil(learners / (evidence.learners / evidence.days))
    return sentence("days", days=days)
