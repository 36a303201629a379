"""How much of the machine others use at this moment."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import psutil

_INTERVAL = 1.0
_QUIET = 0.3


@dataclass(frozen=True, slots=True)
class Load:
    """The machine without this process.

    Attributes:
        busy_cores: processors' worth of time that other processes use.
        stolen: share of the processors' time that the host gives to other machines.
    """

    busy_cores: float = 0.0
    stolen: float = 0.0

    @property
    def quiet(self) -> bool:
        """Whether a step that is timed now is hardly disturbed."""
        return self.busy_cores < _QUIET and self.stolen < 0.1 * _QUIET

    @classmethod
    def now(cls) -> Load:
        """Over the next second."""
        times: Any = psutil.cpu_times_percent(interval=_INTERVAL)
        stolen = float(getattr(times, "steal", 0.0)) / 100
        busy = 1 - (times.idle + getattr(times, "iowait", 0.0)) / 100 - stolen
        return cls(round(max(0.0, busy) * (psutil.cpu_count() or 1), 2), round(stolen, 3))
