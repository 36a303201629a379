"""The log of one test, as the service uses it: writes are awaited until they are on the disk."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable
from contextlib import closing
from typing import Any, TypeVar

from lexitrain.abtest.log.database import Address, Cursor, Database, Unavailable, Unreachable
from lexitrain.abtest.log.entries import (
    NewExposure,
    Rated,
    State,
    agree,
    complete,
    delete_learner,
    expose,
    note_event,
    note_outcome,
    rate,
)
from lexitrain.abtest.log.experiment_facts import (
    ExperimentFacts,
    LogEvent,
    begin_or_go_on,
    read_events,
)
from lexitrain.abtest.log.writer import Writer

Result = TypeVar("Result")


class Log:
    """A test's log, open. Made in the loop that uses it.

    Attributes:
        facts: of the test.

    Args:
        address: of the database.
        experiment, a, b, ratio, plan: of the test; see `ExperimentFacts`.
        tell: called with a sentence on what cannot be written, from a thread.

    Raises:
        InputError: the database cannot be used, or the test was begun otherwise.
    """

    def __init__(
        self,
        address: Address,
        experiment: str,
        a: str,
        b: str,
        ratio: float,
        plan: str = "",
        tell: Callable[[str], None] = lambda _: None,
    ) -> None:
        self._address = address
        database = address.connected()
        try:
            database.create()
            self.facts: ExperimentFacts = begin_or_go_on(
                database, experiment, a, b, ratio, plan, time.time()
            )
        except BaseException:
            database.close()
            raise
        self._newest = self.facts.begun
        self._writer = Writer(database, tell)

    def now(self) -> float:
        """Seconds since 1970; never less than before, and never before the test began, where a clock is set back."""
        self._newest = max(self._newest, time.time())
        return self._newest

    async def keep_consent(self, version: str, text: str) -> None:
        """Keep a consent's text, so that what somebody agreed to can be shown later."""

        def work(cursor: Cursor) -> None:
            cursor.execute(
                "INSERT INTO consents (version, text) VALUES (?, ?) ON CONFLICT (version) DO NOTHING",
                (version, text),
            )

        await self._writer.write(work)

    async def agree(self, learner: str, version: str) -> None:
        """A learner has agreed to a version."""
        await self._writer.write(agree(learner, version, self.now()))

    async def has_agreed(self, learner: str, version: str) -> bool:
        """Whether a learner has agreed to a version, and his data was not deleted since."""

        def look(database: Database) -> bool:
            cursor = database.begin()
            cursor.execute(
                "SELECT 1 FROM learners WHERE learner = ? AND consent = ?", (learner, version)
            )
            found = cursor.fetchone()
            database.rollback()
            return found is not None

        return await self.read(look)

    async def expose(self, new: NewExposure) -> bool:
        """Write a request down, before the model is asked; False where the learner has not agreed."""
        return await self._writer.write(expose(new))

    def complete(self, exposure: str, state: State, seconds: float, answer: str | None) -> None:
        """How a request ended; nobody waits for it, and what is written later comes after it."""
        self._writer.write_some_time(complete(exposure, state, seconds, answer))

    async def rate(self, exposure: str, learner: str, **said: Any) -> Rated:
        """See `entries.rate`."""
        return await self._writer.write(rate(exposure, learner, at=self.now(), **said))

    async def note_outcome(self, exposure: str, learner: str, **said: Any) -> Rated:
        """See `entries.note_outcome`."""
        return await self._writer.write(note_outcome(exposure, learner, at=self.now(), **said))

    async def delete(self, learner: str) -> int:
        """Delete everything of a learner; how many exposures there were."""
        return await self._writer.write(delete_learner(learner, self.now()), forgets=True)

    async def note(
        self, kind: str, arm: str | None, details: dict[str, Any], at: float | None = None
    ) -> None:
        """Write an event down.

        Args:
            at: when it happened, by `now`; by default just now.
        """
        at = self.now() if at is None else at
        await self._writer.write(note_event(self.facts.experiment, at, kind, arm, details))

    async def events(self, after: int = 0) -> list[LogEvent]:
        """Events with a higher number, those of other servers too."""
        return await self.read(lambda database: read_events(database, self.facts.experiment, after))

    async def read(self, work: Callable[[Database], Result]) -> Result:
        """What `work` returns of a connection that only reads, in a thread.

        Raises:
            Unavailable: the database does not answer just now.
            InputError: it is gone, or not a log any more; trying again does not help.
        """

        def in_thread() -> Result:
            try:
                opened = self._address.read()
            except Unreachable as error:
                raise Unavailable(error.what) from None
            with closing(opened) as database:
                try:
                    return work(database)
                except database.errors as error:
                    raise Unavailable(self._address.hidden(error)) from None

        return await asyncio.to_thread(in_thread)

    async def close(self) -> None:
        """Returns when everything is on the disk."""
        await self._writer.close()

    async def check(self) -> None:
        """Nothing, where the log can be written and read.

        Raises:
            Unavailable, InputError: it cannot; as of `read`.
        """
        await self._writer.write(_touch)
        await self.read(lambda _: None)


def _touch(cursor: Cursor) -> None:
    cursor.execute("UPDATE facts SET value = value WHERE name = 'version'")
