"""Writes to the log, in one thread, many requests in one transaction.

A commit waits for the disk, some milliseconds. While one is under way, what is to be written next gathers and goes into
the next one together (group commit), so that hundreds of requests a second are each on the disk before they are
acknowledged. Where a transaction fails, each of its parts is tried alone: one that cannot be written takes no other
along.
"""

from __future__ import annotations

import asyncio
import queue
import threading
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass
from typing import Any, TypeVar

from lexitrain.abtest.log.database import Cursor, Database, Unavailable

_MOST_TOGETHER = 500
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
    """

    def __init__(self, database: Database) -> None:
        self._database = database
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
        """As `write`, for what nobody waits for."""
        self._jobs.put(_Job(work, None, forgets=False))

    async def close(self) -> None:
        """Returns when everything is written and the database is closed."""
        self._jobs.put(None)
        await asyncio.to_thread(self._thread.join)

    def _run(self) -> None:
        ended = False
        while not ended:
            batch: list[_Job] = []
            job = self._jobs.get()
            while job is not None:
                batch.append(job)
                if len(batch) == _MOST_TOGETHER:
                    break
                try:
                    job = self._jobs.get_nowait()
                except queue.Empty:
                    break
            ended = job is None
            if batch:
                self._deliver(batch, self._committed(batch))
        with suppress(*self._database.errors):
            self._database.close()

    def _committed(self, batch: list[_Job]) -> list[tuple[Any, Exception | None]]:
        """The result or the error of each job."""
        try:
            found = self._transaction(batch)
        except Exception:
            found: list[tuple[Any, Exception | None]] = []
            for job in batch:
                try:
                    found += self._transaction([job])
                except self._database.errors as error:
                    found.append((None, Unavailable(self._database.address.hidden(error))))
                except Exception as error:  # a job of ours that is wrong; its caller is told
                    found.append((None, error))
        if any(job.forgets for job in batch):
            with suppress(*self._database.errors):
                self._database.forget()
        return found

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
