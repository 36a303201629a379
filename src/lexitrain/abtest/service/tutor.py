"""The test at work: who gets which arm, what is written down, and when an arm is stopped."""

from __future__ import annotations

import asyncio
import time
from collections import deque
from collections.abc import Callable
from contextlib import suppress
from typing import TYPE_CHECKING, Any

from lexitrain.abtest.assignment import ARMS, Arm, other
from lexitrain.abtest.engines.engine import Question
from lexitrain.abtest.log.database import Unavailable
from lexitrain.abtest.log.entries import NewExposure
from lexitrain.abtest.service.attempts import Attempt, Ended, Places
from lexitrain.abtest.service.guarding.signatures import Signatures
from lexitrain.abtest.service.guardrails import Guardrail, Guardrails, Seen
from lexitrain.errors import InputError
from lexitrain.records import BadRow, tidy_record
from lexitrain.tasks import aliases

if TYPE_CHECKING:
    from lexitrain.abtest.engines.open_engine import Arms
    from lexitrain.abtest.log.experiment_facts import LogEvent
    from lexitrain.abtest.log.log import Log
    from lexitrain.abtest.service.settings import ServiceSettings
    from lexitrain.records import Record

_LOOK_SECONDS = 1.0
_TELL_AGAIN_SECONDS = 600.0
_FAILURES = 20


class NoConsent(Exception):
    """The learner has not agreed to the consent's present text."""


class Tutor:
    """Attributes:
    log, arms, settings: as given.
    guardrails: of both arms.
    signatures: of ids.
    failures: the newest ones, as (seconds since 1970, arm, what).

    Args:
        log: open.
        arms: open.
        settings: of the service.
        consent_version: that learners must have agreed to.
        tell: called with a sentence when something happens.
    """

    def __init__(
        self,
        log: Log,
        arms: Arms,
        settings: ServiceSettings,
        consent_version: str,
        tell: Callable[[str], None],
    ) -> None:
        self.log, self.arms, self.settings = log, arms, settings
        self.consent_version = consent_version
        self.guardrails = Guardrails(settings.guardrails)
        self.signatures = Signatures(log.facts.secret, log.facts.experiment)
        self.failures: deque[tuple[float, Arm, str]] = deque(maxlen=_FAILURES)
        self._assignment = log.facts.assignment
        self._engines = {"a": arms.a, "b": arms.b}
        self._tasks = {"a": arms.tasks_a, "b": arms.tasks_b}
        self._places = {arm: Places(settings.limits.at_once) for arm in ARMS}
        self._known_events = 0
        self._told = -_TELL_AGAIN_SECONDS
        self._tell = tell
        self._under_way: set[Attempt] = set()
        self._notes: set[asyncio.Task[None]] = set()
        self._watch: asyncio.Task[None] | None = None

    @property
    def tasks(self) -> list[str]:
        """Short names of those that can be asked for."""
        return list(self.arms.tasks_a)

    async def open(self) -> None:
        """Take up what has happened to the test, and go on listening for it."""
        self._take_up(await self.log.events())
        self._watch = asyncio.create_task(self._watched())

    async def close(self) -> None:
        """Give up what is under way; returns when its end is written."""
        for attempt in list(self._under_way):
            attempt.give_up()
        while self._under_way:
            await asyncio.sleep(0.01)
        if self._watch is not None:
            self._watch.cancel()
        for each in list(self._notes):
            await each

    def record(self, task: str, text: str) -> Record:
        """A learner's text as training tidied it.

        Raises:
            BadRow: nothing is left of it.
        """
        names = aliases(self.arms.tasks_a)
        record = tidy_record({"task": task, "input": text, "output": "answer"}, names, None)[0]
        if not record.input:
            raise BadRow("the text is empty")
        return record

    async def begin(
        self, learner: str, record: Record, *, streamed: bool, start: float
    ) -> tuple[str, Attempt]:
        """Write a request down, then ask the model: the exposure's id, and the attempt.

        Args:
            start: of the request, by `perf_counter`.

        Raises:
            NoConsent: the learner has not agreed to the present text, or his data was deleted.
            Unavailable: the log cannot be written; then nobody is asked.
        """
        assigned = self._assignment.arm(learner)
        served = other(assigned) if self.guardrails.stopped == assigned else assigned
        exposure = self.signatures.new_id()
        new = NewExposure(
            exposure,
            self.log.facts.experiment,
            learner,
            self.consent_version,
            record.task,
            assigned,
            served,
            self.log.now(),
            record.input if self.settings.keep_texts else None,
        )
        if not await self.log.expose(new):
            raise NoConsent

        def ended(end: Ended) -> None:
            self._under_way.discard(attempt)
            self._end(exposure, learner, served, end)

        attempt = Attempt(
            self._engines[served],
            Question(self._tasks[served][record.task], record, streamed),
            start,
            ended,
            self._places[served],
        )
        self._under_way.add(attempt)
        return exposure, attempt

    def _end(self, exposure: str, learner: str, arm: Arm, end: Ended) -> None:
        kept = end.text.replace("\0", "\ufffd") if self.settings.keep_texts else None
        self.log.complete(exposure, end.state, end.seconds, kept)
        if end.failure:
            self.failures.append((time.time(), arm, end.failure))
        self.guardrails.saw(arm, Seen(learner, end.state, end.seconds))
        if (passed := self.guardrails.to_stop(arm)) is not None:
            self.guardrails.stopped = arm  # at once: the log comes after
            self._note(self.stop(arm, _reason(passed)))
        elif (
            self.guardrails.stopped is None and time.monotonic() - self._told > _TELL_AGAIN_SECONDS
        ):
            passed = next((each for each in self.guardrails.states(arm) if each.passed), None)
            if passed is not None:
                self._told = time.monotonic()
                self._note(self._happened("guardrail", arm, _reason(passed)))

    def _note(self, work: Any) -> None:
        task = asyncio.get_running_loop().create_task(work)
        self._notes.add(task)
        task.add_done_callback(self._notes.discard)

    async def stop(self, arm: Arm, reason: dict[str, Any]) -> None:
        """All learners get the other arm from now on."""
        self.guardrails.stopped = arm
        await self._happened("stopped", arm, reason)

    async def resume(self, arm: Arm) -> None:
        """Learners get their own arms again."""
        self.guardrails.stopped = None
        self.guardrails.forget(arm)
        await self._happened("resumed", arm, {"by": "team"})

    async def _happened(self, kind: str, arm: Arm, details: dict[str, Any]) -> None:
        name = getattr(self.log.facts, arm)
        self._tell(
            f"{kind}: arm {arm} ({name}); {', '.join(f'{k} {v}' for k, v in details.items())}"
        )
        with suppress(
            Unavailable
        ):  # in force here all the same; the team's page says what the log has
            await self.log.note(kind, arm, details)

    async def _watched(self) -> None:
        """What other servers of the test have decided holds here too."""
        while True:
            await asyncio.sleep(_LOOK_SECONDS)
            with suppress(Unavailable, InputError):
                self._take_up(await self.log.events(self._known_events))

    def _take_up(self, events: list[LogEvent]) -> None:
        for event in events:
            self._known_events = event.number
            if event.kind == "stopped" and event.arm in ARMS:
                self.guardrails.stopped = event.arm
            elif event.kind == "resumed" and self.guardrails.stopped == event.arm:
                self.guardrails.stopped = None


def _reason(passed: Guardrail) -> dict[str, Any]:
    return {
        "guardrail": passed.name,
        "value": round(passed.value, 4),
        "limit": passed.limit,
        "requests": passed.requests,
    }
