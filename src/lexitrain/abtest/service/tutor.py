"""The test at work: who gets which arm, and what is written down of it."""

from __future__ import annotations

import asyncio
import time
from collections import deque
from collections.abc import Callable
from typing import TYPE_CHECKING

from lexitrain.abtest.assignment import ARMS, Arm, other
from lexitrain.abtest.engines.engine import Question
from lexitrain.abtest.log.entries import NewExposure
from lexitrain.abtest.service.attempts import Attempt, Ended, Places
from lexitrain.abtest.service.decisions import Decisions
from lexitrain.abtest.service.guarding.signatures import Signatures
from lexitrain.abtest.service.stopping import Guardrails, Seen
from lexitrain.records import BadRow, tidy_record
from lexitrain.tasks import aliases

if TYPE_CHECKING:
    from lexitrain.abtest.engines.open_engine import Arms
    from lexitrain.abtest.log.log import Log
    from lexitrain.abtest.service.settings import ServiceSettings
    from lexitrain.records import Record

_FAILURES = 20


class NoConsent(Exception):
    """The learner has not agreed to the consent's present text."""


class Tutor:
    """Attributes:
    log, arms, settings, tell: as given.
    guardrails: of both arms.
    decisions: which of them is stopped.
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
        self.log, self.arms, self.settings, self.tell = log, arms, settings, tell
        self.consent_version = consent_version
        self.guardrails = Guardrails(settings.guardrails)
        self.decisions = Decisions(log, self.guardrails, tell)
        self.signatures = Signatures(log.facts.secret, log.facts.experiment)
        self.failures: deque[tuple[float, Arm, str]] = deque(maxlen=_FAILURES)
        self._assignment = log.facts.assignment
        self._engines = {"a": arms.a, "b": arms.b}
        self._tasks = {"a": arms.tasks_a, "b": arms.tasks_b}
        self._places = {arm: Places(settings.limits.at_once) for arm in ARMS}
        self._under_way: set[Attempt] = set()

    @property
    def tasks(self) -> list[str]:
        """Short names of those that can be asked for."""
        return list(self.arms.tasks_a)

    async def open(self) -> None:
        """Take up what has happened to the test, and go on listening for it."""
        await self.decisions.open()

    async def close(self) -> None:
        """Give up what is under way; returns when its end is written."""
        for attempt in list(self._under_way):
            attempt.give_up()
        while self._under_way:
            await asyncio.sleep(0.01)
        await self.decisions.close()

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
        self.decisions.judge(arm)
