"""The run folder as a process sees it that does not write: all is read, nothing is changed.

Of several processes the first one writes. The others pass through the same code with this in place of the run, so that
the loop does not ask at every line who it is.
"""

from __future__ import annotations

from collections.abc import Generator
from contextlib import contextmanager
from datetime import UTC, datetime
from typing import Any

from lexitrain.runs.folder import Event, Metrics, Run


class Witness(Run):
    """A run whose writes do nothing."""

    def append_metrics(self, metrics: Metrics) -> None:
        """Left to the first process."""

    def cut_metrics(self, after_step: int) -> None:
        """Left to the first process."""

    def append_event(self, event: str, step: int, **details: Any) -> Event:
        """The event, not written."""
        return Event(event, step, datetime.now(UTC).isoformat(timespec="milliseconds"), details)

    @contextmanager
    def lock(self) -> Generator[None]:
        """The first process holds it."""
        yield
