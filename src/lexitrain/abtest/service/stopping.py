"""An arm that harms learners is stopped: too slow, too many errors, too many answers that cannot be read.

Each limit is about a share: of answers slower than the limit of the 95th percentile, of errors, of unreadable answers.
Looked at are the newest requests of an arm. An arm is past a limit when an arm exactly at it would show so many only
with a tiny chance, by the exact binomial tail, so that looking after every request stops no good arm. A learner counts
with a tenth of what it takes to judge an arm: nobody can stop an arm alone by asking for nonsense. Where both arms are
alike, the machine is to blame and neither is stopped.
"""

from __future__ import annotations

import math
from collections import Counter, deque
from dataclasses import dataclass
from typing import TYPE_CHECKING

from lexitrain.abtest.assignment import ARMS, Arm, other

if TYPE_CHECKING:
    from lexitrain.abtest.log.entries import State
    from lexitrain.abtest.service.settings import GuardrailLimits

_SLOW_SHARE = 0.05
_ONE_LEARNER = 10
"""A learner has one part in so many of what an arm is judged by."""


@dataclass(frozen=True, slots=True)
class Seen:
    """A request that has ended: its learner, how, and after how long."""

    learner: str
    state: State
    seconds: float


@dataclass(frozen=True, slots=True)
class Guardrail:
    """Where an arm stands to one limit.

    Attributes:
        name: `p95_seconds`, `errors` or `invalid`.
        value: of the newest requests: seconds, or a share; NaN without any.
        limit: in the same unit.
        requests: that were looked at.
        passed: whether the arm is past the limit beyond chance.
    """

    name: str
    value: float
    limit: float
    requests: int
    passed: bool


class Guardrails:
    """Args: limits: of both arms."""

    def __init__(self, limits: GuardrailLimits) -> None:
        self._limits = limits
        self._seen: dict[Arm, deque[Seen]] = {arm: deque() for arm in ARMS}
        self.stopped: Arm | None = None

    def saw(self, arm: Arm, seen: Seen) -> None:
        """Take in a request that has ended; one that the learner left says nothing."""
        if seen.state == "gone":
            return
        window = self._seen[arm]
        window.append(seen)
        own = [each for each in window if each.learner == seen.learner]
        if len(own) > max(1, min(self._limits.window, self._limits.least) // _ONE_LEARNER):
            window.remove(own[0])
        elif len(window) > self._limits.window:
            window.popleft()

    def forget(self, arm: Arm) -> None:
        """Judge an arm anew."""
        self._seen[arm].clear()

    def states(self, arm: Arm) -> list[Guardrail]:
        """Where an arm stands."""
        window, limits = self._seen[arm], self._limits
        count = Counter(each.state for each in window)
        answers = count["answered"] + count["invalid"]
        seconds = sorted(each.seconds for each in window if each.state != "error")
        slow = sum(each > limits.seconds for each in seconds)
        p95 = seconds[math.ceil(0.95 * len(seconds)) - 1] if seconds else math.nan
        return [
            Guardrail(
                "p95_seconds", p95, limits.seconds, answers, self._past(slow, answers, _SLOW_SHARE)
            ),
            self._share("errors", count["error"], len(window), limits.errors),
            self._share("invalid", count["invalid"], answers, limits.invalid),
        ]

    def _share(self, name: str, some: int, all_: int, limit: float) -> Guardrail:
        value = some / all_ if all_ else math.nan
        return Guardrail(name, value, limit, all_, self._past(some, all_, limit))

    def _past(self, some: int, all_: int, limit: float) -> bool:
        if all_ < self._limits.least or some <= limit * all_:
            return False
        return binomial_tail(some, all_, limit) < self._limits.chance

    def to_stop(self, arm: Arm) -> Guardrail | None:
        """What an arm is to be stopped for; None where it is not, one is stopped, or the other is not clearly better.

        The other one is clearly better where it has been seen often enough, and is within the limit or at half of what
        this one shows.
        """
        if self.stopped is not None or len(self._seen[other(arm)]) < self._limits.least // 2:
            return None
        for mine, theirs in zip(self.states(arm), self.states(other(arm)), strict=True):
            better = not theirs.value > max(
                mine.limit, mine.value / 2
            )  # NaN: nothing speaks against it
            if mine.passed and better and not theirs.passed:
                return mine
        return None


def binomial_tail(some: int, all_: int, share: float) -> float:
    """The chance that of `all_` at least `some` happen, where each does with the chance `share`."""
    if some <= 0:
        return 1.0
    if share <= 0 or share >= 1:
        return 0.0 if share <= 0 else 1.0
    logs = [
        math.lgamma(all_ + 1) - math.lgamma(k + 1) - math.lgamma(all_ - k + 1)
        + k * math.log(share) + (all_ - k) * math.log1p(-share)
        for k in range(some, all_ + 1)
    ]  # fmt: skip
    return min(1.0, math.fsum(map(math.exp, logs)))
