"""Writes to the log, in one thread, many requests in one transaction.

A commit waits for the disk, some milliseconds. While one is under way, what is to be written next gathers and goes into
the next one together (group commit), so that hundreds of requests a second are each on the disk before they are
acknowledged. Where a transaction fails, each of its parts is tried alone: one that cannot be written takes no other
along. What nobody waits for and cannot be written now is kept and tried again, until the log is closed. Whatever cannot
be written is told.
"""

from __future__ import annotations

import asyncio
import queue
import threading
import time
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass
from typing import Any, TypeVar

from lexitrain.abtest.log.database import Cursor, Database, Unavailable
from lexitrain.abtest.told_once import ToldOnce

_MOST_TOGETHER = 500
_AGAIN_SECONDS = 1.0
_CLOSE_SECONDS = 10.0
Result = TypeVar("Result")


@dataclass(slots=True)
class _Job:
    work: Callable[[Cursor], Any]
    done: asyncio.Future[Any] | None
    forgets: bool


class Writer:
    """A thread that has a database to itself.

    Args:
        database: with its tables.
        tell: called in the thread with a sentence on what cannot be written, once for each kind of error.
    """

    def __init__(self, database: Database, tell: Callable[[str], None] = lambda _: None) -> None:
        self._database = database
        self._tell = tell
        self._tell_once = ToldOnce(tell)
        self._left: list[_Job] = []
        self._again = 0.0
        self._jobs: queue.SimpleQueue[_Job | None] = queue.SimpleQueue()
        self._loop = asyncio.get_running_loop()
        self._thread = threading.Thread(target=self._run, name="log", daemon=True)
        self._thread.start()

    def write(
        self, work: Callable[[Cursor], Result], *, forgets: bool = False
    ) -> asyncio.Future[Result]:
        """What `work` returns, when that is on the disk. Jobs are done in the order in which they are given.

        Args:
            work: called with a cursor, in the thread; twice where the first transaction fails.
            forgets: it deletes what must not be found on the disk any more.

        Raises:
            Unavailable: when awaited: nothing was written.
        """
        done: asyncio.Future[Result] = self._loop.create_future()
        self._jobs.put(_Job(work, done, forgets))
        return done

    def write_some_time(self, work: Callable[[Cursor], Any]) -> None:
        """As `write`, for what nobody waits for; tried again where the database does not take it."""
        self._jobs.put(_Job(work, None, forgets=False))

    async def close(self) -> None:
        """Returns when everything is written and the database is closed."""
        self._jobs.put(None)
        await asyncio.to_thread(self._thread.join)

    def _run(self) -> None:
        ended = False
        while not ended:
            batch, ended = self._next()
            if batch:
                self._deliver(batch, self._committed(batch))
            if self._left:
                self._try_again(last=ended)
        with suppress(*self._database.errors):
            self._database.close()

    def _next(self) -> tuple[list[_Job], bool]:
        """What is to be written together, and whether nothing comes after it; nothing where it is time to try again."""
        batch: list[_Job] = []
        try:
            job = self._jobs.get(timeout=_AGAIN_SECONDS if self._left else None)
            while job is not None:
                batch.append(job)
                if len(batch) == _MOST_TOGETHER:
                    return batch, False
                job = self._jobs.get_nowait()
        except queue.Empty:
            return batch, False
        return batch, True

    def _try_again(self, *, last: bool) -> None:
        """Write what was left together; where that fails, the first alone, so that none is in the others' way for good.

        Args:
            last: each is tried alone then, as long as that takes no longer than closing may.
        """
        if not last and time.monotonic() < self._again:
            return
        end = time.monotonic() + _CLOSE_SECONDS
        try:
            self._transaction(self._left)
            self._left = []
        except Exception:
            for job in list(self._left if last else self._left[:1]):
                self._left.remove(job)
                try:
                    self._transaction([job])
                except Exception:
                    self._left.append(job)
                if time.monotonic() > end:
                    break
        self._again = time.monotonic() + _AGAIN_SECONDS
        if last and self._left:
            lost = f"Entries that the log did not take, and that are lost: {len(self._left):,}."
            self._say(self._tell, lost)

    def _say(self, tell: Callable[..., None], *said: str) -> None:
        with suppress(Exception):  # a terminal that has gone must not end the log
            tell(*said)

    def _committed(self, batch: list[_Job]) -> list[tuple[Any, Exception | None]]:
        """The result or the error of each job."""
        try:
            found = self._transaction(batch)
        except Exception:
            found: list[tuple[Any, Exception | None]] = []
            for job in batch:
                try:
                    found += self._transaction([job])
                except Exception as error:
                    found.append((None, self._failed(job, error)))
        if any(job.forgets for job in batch):
            with suppress(*self._database.errors):
                self._database.forget()
        return found

    def _failed(self, job: _Job, error: Exception) -> Exception:
        """What the job's caller is told; the team is told too. What nobody waits for is kept."""
        said = self._database.address.hidden(error)
        refused = isinstance(error, self._database.errors)
        if refused and job.done is None:
            self._left.append(job)
        kind = "cannot be written" if refused else f"has a fault ({type(error).__name__})"
        self._say(self._tell_once, said, f"The log {kind}: {said}")
        return Unavailable(said) if refused else error

    def _transaction(self, batch: list[_Job]) -> list[tuple[Any, Exception | None]]:
        try:
            cursor = self._database.begin()
            found = [job.work(cursor) for job in batch]
            self._database.commit()
        except BaseException:
            with suppress(*self._database.errors):
                self._database.rollback()
            raise
        return [(each, None) for each in found]

    def _deliver(self, batch: list[_Job], found: list[tuple[Any, Exception | None]]) -> None:
        def tell() -> None:
            for job, (result, error) in zip(batch, found, strict=True):
                if job.done is None or job.done.done():  # whoever waited has gone
                    continue
                if error is None:
                    job.done.set_result(result)
                else:
                    job.done.set_exception(error)

        with suppress(RuntimeError):  # the loop has ended before us
            self._loop.call_soon_threadsafe(tell)
