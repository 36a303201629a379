"""Scanning in several processes: in the order of the input, with a bounded number of chunks under way.

Each worker loads the tasks itself, from the rules; a chunk goes there and what it holds comes back. Starting a worker
takes half a second, so that only inputs of 16 MB or more get any.
"""

from __future__ import annotations

import os
import signal
from collections import deque
from collections.abc import Generator, Iterable, Iterator
from concurrent.futures import Future, ProcessPoolExecutor
from concurrent.futures.process import BrokenProcessPool
from contextlib import contextmanager
from multiprocessing import get_context, parent_process
from threading import Thread
from typing import Self

from lexitrain.errors import LexiTrainError
from lexitrain.preparation.scan import Rules, ScannedChunk, Scanner
from lexitrain.records import Chunk
from lexitrain.storage import usable_cores

_UNDER_WAY = 3  # chunks a worker, so that none waits and memory stays bounded
_WORTH_WORKERS = 16 << 20  # bytes
_MOST_WORKERS = 4  # more would only wait for the one process that reads and writes


def workers_for(input_bytes: int) -> int:
    """How many workers an input deserves: none for a small one, since starting them takes half a second."""
    if input_bytes < _WORTH_WORKERS:
        return 0
    return min(_MOST_WORKERS, usable_cores())


class ScanPool:
    """Scans chunks in order, in `workers` processes (0: in this one). A context manager; leaving it ends the workers.

    Args:
        scanner: the scanner of this process; the workers make theirs of its rules.
    """

    def __init__(self, scanner: Scanner, workers: int) -> None:
        self._scanner = scanner
        self._window = _UNDER_WAY * workers
        self._pool: ProcessPoolExecutor | None = None
        if workers:
            # "spawn": forking a process that runs threads (a progress display does) may deadlock.
            self._pool = ProcessPoolExecutor(
                workers, get_context("spawn"), _start_worker, (scanner.rules,)
            )

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *exception: object) -> None:
        if self._pool is not None:
            self._pool.shutdown(wait=True, cancel_futures=True)

    def scanned(self, chunks: Iterable[Chunk]) -> Iterator[ScannedChunk]:
        """What every chunk holds, in order.

        Raises:
            LexiTrainError: a worker was killed, usually because memory ran out.
        """
        if self._pool is None:
            yield from map(self._scanner.scan, chunks)
            return
        under_way: deque[Future[ScannedChunk]] = deque()
        try:
            for chunk in chunks:
                with _sigint_held():
                    under_way.append(self._pool.submit(_scan, chunk))
                if len(under_way) >= self._window:
                    yield under_way.popleft().result()
            while under_way:
                yield under_way.popleft().result()
        except BrokenProcessPool:
            raise LexiTrainError(
                "A worker process was killed, usually because memory ran out.",
                fix="Free some memory and run the same command again.",
            ) from None


@contextmanager
def _sigint_held() -> Generator[None]:
    """Holds Ctrl-C back while a worker may be started: it inherits this, and the main process ends the workers. Else a
    worker that is still importing would answer with a traceback."""
    if not hasattr(signal, "pthread_sigmask"):
        yield
        return
    before = signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGINT})
    try:
        yield
    finally:
        signal.pthread_sigmask(signal.SIG_SETMASK, before)


_scanner_of_worker: list[Scanner] = []
"""In a worker process, its scanner; the pool hands a chunk to a function, so it must be found from there."""


def _start_worker(rules: Rules) -> None:
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # the main process ends the workers
    Thread(target=_end_with_parent, daemon=True).start()
    _scanner_of_worker[:] = [Scanner(rules)]


def _end_with_parent() -> None:
    """A worker whose main process was killed would wait for work for ever."""
    parent = parent_process()
    if parent is not None:
        parent.join()
        os._exit(1)


def _scan(chunk: Chunk) -> ScannedChunk:
    return _scanner_of_worker[0].scan(chunk)
