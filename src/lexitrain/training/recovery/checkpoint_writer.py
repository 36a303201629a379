"""Checkpoints written in the background: the loop hands over bytes and takes the next step.

A checkpoint is serialized in the loop's thread, so that it is of one moment; hashing, writing, syncing, renaming and
rotating happen in a thread of the writer. What belongs to one step (best adapter, checkpoint) travels together; the
next step's waits until it is on the disk, so that memory holds one checkpoint at most. The loop asks for `outcomes`
after each step: what has reached the disk becomes an event then, and an error is raised then. Costs the serialization,
a copy of the adapter and its optimizer state in memory.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Mapping
from concurrent.futures import Future, ThreadPoolExecutor
from time import perf_counter
from types import TracebackType
from typing import TYPE_CHECKING, Any, Self

from lexitrain.training.event_log import Outcome

if TYPE_CHECKING:
    from lexitrain.runs import Checkpoint, Checkpoints, ReportBroken
    from lexitrain.training.recovery.mirror import Mirror


class CheckpointWriter:
    """Writes a run's checkpoints, and lets the mirror follow. Enter it to train.

    Args:
        checkpoints: what is written to; while there is a writer, nobody else writes there.
        mirror: is woken by each write.
        background: write in a thread; else at once, while the loop waits.
    """

    def __init__(
        self, checkpoints: Checkpoints, mirror: Mirror | None = None, *, background: bool = True
    ) -> None:
        self._checkpoints = checkpoints
        self._mirror = mirror
        self._pool = ThreadPoolExecutor(1, "checkpoints") if background else None
        self._pending: deque[tuple[int, Future[Outcome | None]]] = deque()
        self._done: list[Outcome] = []
        self._failed = False
        self._writing_since: float | None = None

    def __enter__(self) -> Self:
        if self._mirror is not None:
            self._mirror.start()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        """Let the write at hand end, whatever happened; what it raises is lost if an error is on its way already."""
        if self._pool is not None:
            self._pool.shutdown(wait=True, cancel_futures=kind is KeyboardInterrupt)
        if self._mirror is not None:
            self._mirror.stop()
        if kind is None:
            self._collect(wait=True)

    def save(self, step: int, files: Mapping[str, bytes], **details: Any) -> None:
        """Write the checkpoint of `step`; once it is on the disk, there is an outcome `checkpoint` with `details`,
        its size in `bytes` and the `seconds` that the writing took.

        Raises:
            OSError: what an earlier write met.
        """
        size = sum(len(content) for content in files.values())

        def write() -> Outcome:
            start = perf_counter()
            self._checkpoints.save(step, files)
            seconds = round(perf_counter() - start, 3)
            return Outcome("checkpoint", step, {**details, "bytes": size, "seconds": seconds})

        self._submit(step, write)

    def save_best(self, step: int, files: Mapping[str, bytes], note: Mapping[str, Any]) -> None:
        """Write the best adapter. Raises like `save`."""

        def write() -> None:
            self._checkpoints.save_best(step, files, note)

        self._submit(step, write)

    def best(self, report: ReportBroken, step: int | None = None) -> Checkpoint | None:
        """`Checkpoints.best`, after all that was handed over is written."""
        self._collect(wait=True)
        return self._checkpoints.best(report, step)

    def outcomes(self, *, wait: bool = False) -> list[Outcome]:
        """What has happened since the last call.

        Args:
            wait: until all that was handed over is on the disk.

        Raises:
            OSError: a write failed; the checkpoints before are untouched, what was handed over after is not written.
        """
        self._collect(wait=wait)
        done, self._done = self._done, []
        return done + (self._mirror.outcomes() if self._mirror is not None else [])

    def waiting_seconds(self) -> float:
        """How long the write at hand has taken so far; 0 where there is none."""
        since = self._writing_since
        return 0.0 if since is None else perf_counter() - since

    def mirror_seconds(self) -> float:
        """How long until what is written now would be in the mirror, seconds; 0: there is none."""
        return 0.0 if self._mirror is None else self._mirror.seconds()

    def flush_mirror(self, patience_seconds: float | None = None) -> list[Outcome]:
        """Wait until the mirror is as the run's folder, as far as it can be reached; returns the outcomes.

        Args:
            patience_seconds: how long to wait at most; what the mirror lacks then is an outcome. None: as long as the
                mirror waits for a drive.
        """
        if self._mirror is not None:
            self._mirror.flush(patience_seconds)
        return self.outcomes(wait=True)

    def _submit(self, step: int, write: Callable[[], Outcome | None]) -> None:
        while self._pending and self._pending[0][0] != step:
            self._take_first()

        def guarded() -> Outcome | None:
            if self._failed:
                return None  # a checkpoint without the best adapter that it knows of would be half a one
            self._writing_since = perf_counter()
            try:
                outcome = write()
            except BaseException:
                self._failed = True
                raise
            finally:
                self._writing_since = None
            if self._mirror is not None:
                self._mirror.wake()
            return outcome

        future: Future[Outcome | None]
        if self._pool is not None:
            future = self._pool.submit(guarded)
        else:
            future = Future()
            future.set_result(guarded())
        self._pending.append((step, future))

    def _collect(self, *, wait: bool) -> None:
        while self._pending and (wait or self._pending[0][1].done()):
            self._take_first()

    def _take_first(self) -> None:
        _, future = self._pending.popleft()
        outcome = future.result()
        if outcome is not None:
            self._done.append(outcome)
