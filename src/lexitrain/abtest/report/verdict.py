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
from lexitrain.abtest.report.wording import amount, between, in_words, signed
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
        return Verdict("broken", "Do not trust this test.", tuple(broken), by)
    harm = [each for each in evidence.guardrails if each.state == "harm"]
    if harm:
        arm = evidence.arms[harm[0].harmful or 0]
        reasons = tuple(f"{evidence.arms[each.harmful or 0]}: {each.reason}." for each in harm)
        return Verdict("stop", f"Stop {arm}: it does harm.", reasons, by, harmful=arm)
    if evidence.is_fixed and not evidence.is_over:
        assert evidence.planned is not None
        wanted = evidence.planned.learners
        return Verdict(
            "not enough yet",
            f"Not yet: the test is to be read once, at {wanted:,} learners, and {evidence.learners:,} have come.",
            ("Reading it earlier finds differences where there are none.",),
            by,
        )
    return _decided(evidence, by)


def _broken(evidence: Evidence) -> list[str]:
    ratio = evidence.sample_ratio
    reasons: list[str] = []
    if ratio.broken:
        meant = " to ".join(f"{each:,.0f}" for each in ratio.expected)
        said = " to ".join(f"{each:,}" for each in ratio.learners)
        often = (
            "and looking often does not explain it"
            if ratio.always_valid_p < 0.01
            else "though one who looks very often may see it in a sound test"
        )
        reasons.append(
            f"Learners fell into the arms {said} where {meant} were meant (p = {in_words(ratio.p)}, {often}): the arms "
            "differ in who is in them. Look for learners who are lost or counted twice in one arm, and start again."
        )
    if evidence.crossed > max(1.0, MOST_CROSSED * evidence.learners):
        reasons.append(
            f"{evidence.crossed:,} of {evidence.learners:,} learners were shown both arms: the assignment does not "
            "stick."
        )
    return reasons


def _decided(evidence: Evidence, by: Literal["sequence", "fixed"]) -> Verdict:
    first, other = evidence.arms
    metric, interval, margin = evidence.metric, evidence.interval, evidence.margin
    if interval is None or evidence.effect.difference is None:
        return Verdict(
            "not enough yet",
            f"Not enough yet: {evidence.effect.lacking or 'no interval'}.",
            (),
            by,
        )
    low, high = interval
    shown = (
        f"{metric.title}: {signed(metric, evidence.effect.difference)} "
        f"({between(metric, interval)})."
    )
    if low > 0:
        reasons = (shown, *_not_yet_harmless(evidence))
        return Verdict("better", f"{other} is better than {first}.", reasons, by)
    if high < 0:
        beyond = " and by more than the margin" if high < -margin else ""
        return Verdict("worse", f"{other} is worse than {first}{beyond}.", (shown,), by)
    allowed = amount(metric, margin)
    if low > -margin:
        same = (
            f" A gain of {allowed} is ruled out too: the two are as good as each other."
            if high < margin
            else ""
        )
        headline = f"{other} is no worse than {first} by {allowed}; that it is better is not shown."
        reasons = (shown + same, *_not_yet_harmless(evidence))
        return Verdict("no worse", headline, reasons, by)
    return Verdict(
        "not enough yet",
        f"Not enough yet to say whether {other} is better or worse than {first}.",
        (shown, *_outlook(evidence)),
        by,
    )


def _not_yet_harmless(evidence: Evidence) -> list[str]:
    """Guardrails that have not been shown to hold."""
    open_ones = [each.title for each in evidence.guardrails if each.state != "fine"]
    return [f"Not shown to be harmless yet: {', '.join(open_ones)}."] if open_ones else []


def _outlook(evidence: Evidence) -> list[str]:
    """How much longer it may take."""
    planned = evidence.planned
    if planned is not None and not evidence.is_over:
        left = planned.learners - evidence.learners
        return [f"{left:,} more learners are planned{_days_for(evidence, left)}."]
    if planned is not None:
        return [
            f"As many learners as planned have come. A difference of {amount(evidence.metric, planned.effect)} would "
            f"have been found with a chance of {100 * planned.power:.0f} %: one as large is unlikely, but possible."
        ]
    interval = evidence.interval
    assert interval is not None
    half = (interval[1] - interval[0]) / 2
    wanted = math.ceil(evidence.learners * (half / evidence.margin) ** 2)
    left = wanted - evidence.learners
    if left <= 0:
        return []
    return [
        f"About {left:,} more learners would bring the interval to ± {amount(evidence.metric, evidence.margin)}"
        f"{_days_for(evidence, left)}."
    ]


def _days_for(evidence: Evidence, learners: int) -> str:
    if evidence.days < 1:
        return ""
    days = math.ceil(learners / (evidence.learners / evidence.days))
    return f", about {days:,} days at the pace so far"
