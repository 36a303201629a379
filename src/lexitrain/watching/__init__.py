"""A run as it is seen from outside while it trains: by a person (`LiveRun`), and by experiment trackers.

Both read the run's own files, so that they work from another process and after any crash. Nothing here loads torch.
"""

from __future__ import annotations

from lexitrain.watching.live_run import LiveRun, live_run
from lexitrain.watching.time_left import STEPS_FOR_A_BAND, TimeLeft, time_left
from lexitrain.watching.trackers.places import (
    places_of,
    require_trackers,
    with_trackers,
)
from lexitrain.watching.trackers.processes import (
    PATIENCE_SECONDS,
    TrackerProcesses,
    tell_trackers,
)

__all__ = [
    "PATIENCE_SECONDS",
    "STEPS_FOR_A_BAND",
    "LiveRun",
    "TimeLeft",
    "TrackerProcesses",
    "live_run",
    "places_of",
    "require_trackers",
    "tell_trackers",
    "time_left",
    "with_trackers",
]
