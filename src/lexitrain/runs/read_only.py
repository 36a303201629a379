"""The run folder of a process that only reads it.

Where several processes train one run, the first one writes. The others go through the same code with this class in
place of the run, so that the code need not ask at every line which process it is.
"""

from __future__ import annotations

from collections.abc import Generator
from contextlib import contextmanager
from typing import Any

from lexitrain.runs.folder import Run
from lexitrain.runs.journals import Event, Metrics, event_now


class ReadOnlyRun(Run):
    """A run whose journals are not written. Its other files are written by what only the first process calls."""

    def append_metrics(self, metrics: Metrics) -> None:
        """Left to the first process."""

    def cut_metrics(self, after_step: int) -> None:
        """Left to the first process."""

    def append_event(self, event: str, step: int, **details: Any) -> Event:
        """The event, not written."""
        return event_now(event, step, details)

    @contextmanager
    def lock(self) -> Generator[None]:
        """The first process holds it."""
        yield
