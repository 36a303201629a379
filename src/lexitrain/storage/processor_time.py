"""Processor time of the thread that trains, and how long it waited for a processor that others had.

Linux counts both for every thread (`/proc/thread-self/schedstat`: nanoseconds on a processor, nanoseconds ready and
waiting for one; kernel documentation, scheduler/sched-stats). Elsewhere the second is not known. Reading costs some
twenty microseconds.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from time import thread_time

_SCHEDULER = Path("/proc/thread-self/schedstat")


@dataclass(frozen=True, slots=True)
class ProcessorTime:
    """What the present thread has used up to a moment.

    Attributes:
        used: processor time, seconds.
        waited: ready and without a processor, seconds; None where the system does not tell.
    """

    used: float
    waited: float | None

    @classmethod
    def now(cls) -> ProcessorTime:
        """Up to now."""
        return cls(thread_time(), _waited())

    def since(self) -> tuple[float, float | None]:
        """Used and waited from then to now, by the same thread."""
        now = ProcessorTime.now()
        known = self.waited is not None and now.waited is not None
        waited = max(0.0, (now.waited or 0.0) - (self.waited or 0.0)) if known else None
        return now.used - self.used, waited


def _waited() -> float | None:
    try:
        return int(_SCHEDULER.read_bytes().split()[1]) / 1e9
    except (OSError, ValueError, IndexError):
        return None
