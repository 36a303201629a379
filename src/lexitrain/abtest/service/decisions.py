"""Which arm is stopped: by its guardrails, by the team, by other servers of the test.

Every decision is in the log, which is how other servers and the report hear of it. What the team decides is done when
it is written, or not at all. What a guardrail decides holds at once, and is written as soon as the log can be.
"""

from __future__ import annotations

import asyncio
import time
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from lexitrain.abtest.assignment import ARMS, Arm
from lexitrain.abtest.log.database import Unavailable
from lexitrain.abtest.recurring import Recurring

if TYPE_CHECKING:
    from lexitrain.abtest.log.experiment_facts import LogEvent
    from lexitrain.abtest.log.log import Log
    from lexitrain.abtest.service.stopping import Guardrail, Guardrails

_LOOK_SECONDS = 1.0
_TELL_AGAIN_SECONDS = 600.0


@dataclass(frozen=True, slots=True)
class _Decision:
    """One that is not in the log yet; fields as of `LogEvent`."""

    at: float
    kind: str
    arm: Arm
    details: dict[str, Any]


class Decisions:
    """Args:
    log: open.
    guardrails: of both arms; which one is stopped is told to them.
    tell: called with a sentence when something happens.
    """

    def __init__(self, log: Log, guardrails: Guardrails, tell: Callable[[str], None]) -> None:
        self._log, self._guardrails, self._tell = log, guardrails, tell
        self._known = 0
        self._told = -_TELL_AGAIN_SECONDS
        self._unwritten: deque[_Decision] = deque()
        self._writing = asyncio.Lock()
        self._looking = Recurring("Following the test's log", self._look, _LOOK_SECONDS, tell)

    async def open(self) -> None:
        """Take up what was decided before, and go on listening for it."""
        self._take_up(await self._log.events())
        self._looking.start()

    async def close(self) -> None:
        """Returns when everything is written; tells what cannot be."""
        await self._looking.close()
        try:
            await self._write_down()
        except Unavailable as error:
            for each in self._unwritten:
                self._tell(f"Not in the log: {each.kind}, arm {each.arm} ({error}).")

    def judge(self, arm: Arm) -> None:
        """Stop an arm where it is past a limit, and the other is not; say so where both are."""
        guardrails = self._guardrails
        if (passed := guardrails.to_stop(arm)) is not None:
            guardrails.stopped = arm
            self._decided("stopped", arm, passed)
        elif guardrails.stopped is None and time.monotonic() - self._told > _TELL_AGAIN_SECONDS:
            passed = next((each for each in guardrails.states(arm) if each.passed), None)
            if passed is not None:
                self._told = time.monotonic()
                self._decided("guardrail", arm, passed)

    def _decided(self, kind: str, arm: Arm, passed: Guardrail) -> None:
        decision = _Decision(self._log.now(), kind, arm, _reason(passed))
        self._say(decision)
        self._unwritten.append(decision)
        self._looking.soon()

    async def stop(self, arm: Arm) -> None:
        """The team's word: all learners get the other arm from now on.

        Raises:
            Unavailable: it cannot be written down; then it is not done either.
        """
        await self._done("stopped", arm)
        self._guardrails.stopped = arm

    async def resume(self, arm: Arm) -> None:
        """The team's word: learners get their own arms again, and the stopped one is judged anew.

        Raises:
            Unavailable: as of `stop`.
        """
        await self._done("resumed", arm)
        self._resumed(arm)

    async def _done(self, kind: str, arm: Arm) -> None:
        await self._write_down()  # in the order in which it was decided
        decision = _Decision(self._log.now(), kind, arm, {"by": "team"})
        await self._log.note(kind, arm, decision.details, decision.at)
        self._say(decision)

    def _say(self, decision: _Decision) -> None:
        name = getattr(self._log.facts, decision.arm)
        details = ", ".join(f"{key} {value}" for key, value in decision.details.items())
        self._tell(f"{decision.kind}: arm {decision.arm} ({name}); {details}")

    async def _look(self) -> None:
        """Write down what is not written; what other servers have decided holds here too."""
        try:
            await self._write_down()
        finally:
            self._take_up(await self._log.events(self._known))

    async def _write_down(self) -> None:
        async with self._writing:
            while self._unwritten:
                first = self._unwritten[0]
                await self._log.note(first.kind, first.arm, first.details, first.at)
                self._unwritten.popleft()

    def _take_up(self, events: list[LogEvent]) -> None:
        for event in events:
            self._known = event.number
            if event.kind == "stopped" and event.arm in ARMS:
                self._guardrails.stopped = event.arm
            elif (
                event.kind == "resumed"
                and event.arm in ARMS
                and event.arm == self._guardrails.stopped
            ):
                self._resumed(event.arm)
        for decision in self._unwritten:  # came after all that is written
            if decision.kind == "stopped":
                self._guardrails.stopped = decision.arm

    def _resumed(self, arm: Arm) -> None:
        self._guardrails.stopped = None
        # What it was stopped for would stop it again with the next request.
        self._guardrails.forget(arm)


def _reason(passed: Guardrail) -> dict[str, Any]:
    return {
        "guardrail": passed.name,
        "value": round(passed.value, 4),
        "limit": passed.limit,
        "requests": passed.requests,
    }
