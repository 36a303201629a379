"""The next steps' samples and layouts, built ahead by background workers.

The workers are threads. Samples and tree of a step of 24 take 1.6 ms of numpy (real tutor records of 93 tokens on
average, one core), against hundreds of milliseconds of a step in which PyTorch has released the interpreter lock;
processes would copy the samples and pickle each layout to save nothing. What is built is a function of the step's
number alone, so the result is the same with any number of workers, 0 (built when asked for) included.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable
from concurrent.futures import Future, ThreadPoolExecutor
from types import TracebackType
from typing import Generic, Self, TypeVar

Work = TypeVar("Work")


class Prefetch(Generic[Work]):
    """Hands out `build(first)`, `build(first + 1)`, ... up to `build(end - 1)`, one at each call of `next`.

    Args:
        build: makes the work of one step; called from several threads.
        first: number of the first step.
        end: number after the last step.
        workers: background threads; each keeps about one step ahead ready, and one more is in hand.
    """

    def __init__(self, build: Callable[[int], Work], first: int, end: int, workers: int) -> None:
        self._build = build
        self._next = first
        self._end = end
        self._pool = ThreadPoolExecutor(workers, "layout") if workers else None
        self._ahead: deque[Future[Work]] = deque()
        self._depth = workers + 1

    def __enter__(self) -> Self:
        self._fill()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        if self._pool is not None:
            self._pool.shutdown(wait=True, cancel_futures=True)

    def next(self) -> Work:
        """The work of the next step; waits for it. An error of `build` is raised here, at its step."""
        if self._pool is None:
            self._next += 1
            return self._build(self._next - 1)
        work = self._ahead.popleft().result()
        self._fill()
        return work

    def _fill(self) -> None:
        while self._pool is not None and len(self._ahead) < self._depth and self._next < self._end:
            self._ahead.append(self._pool.submit(self._build, self._next))
            self._next += 1
