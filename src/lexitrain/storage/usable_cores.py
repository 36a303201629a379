"""How many cores this process may use: fewer than the machine has, where a container or `taskset` says so."""

from __future__ import annotations

import os


def usable_cores() -> int:
    """At least 1."""
    if hasattr(os, "sched_getaffinity"):
        return len(os.sched_getaffinity(0))
    return os.cpu_count() or 1
