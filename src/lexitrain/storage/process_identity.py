"""Which process is which: the start of this machine, whether a process runs, and when it began.

A process's number is given again after it has ended, and a machine that starts anew counts from the beginning. So who
holds a lock, or left a file behind, is known by three facts: the machine's start, the process's number, and when the
process began. Cost: psutil, where it is needed, takes some 20 ms to import, and so is imported in the functions.
"""

from __future__ import annotations

import os
import sys
from pathlib import Path

from lexitrain.errors import InputError


def boot_id() -> str | None:
    """Identifies the run of the system's kernel since the machine's start; None where the system tells none.

    Only Linux tells one. The time of the start is no substitute: it is worked out from the clock, and moves when the
    clock is set.
    """
    try:
        return Path("/proc/sys/kernel/random/boot_id").read_text(encoding="ascii").strip()
    except OSError:
        return None


def launcher_number(name: str, default: int) -> int:
    """What a launcher (`torchrun`) says of its processes: `WORLD_SIZE`, `RANK`, `LOCAL_RANK`; `default` without one.

    Raises:
        InputError: the variable holds no number from 0 on.
    """
    said = os.environ.get(name, "").strip()
    if not said:
        return default
    if not (said.isascii() and said.isdigit()):
        raise InputError(
            f"This is {said!r}, and a launcher of several processes writes a number there.",
            where=f"environment variable {name}",
            fix=f"Delete it: unset {name}",
        )
    return int(said)


def is_running(process: int) -> bool:
    """Whether a process of this number runs on this machine, whoever's it is."""
    from psutil import pid_exists

    try:
        return process > 0 and pid_exists(process)
    except OverflowError:  # a number that no system gives
        return False


def process_start(process: int) -> str | None:
    """When a process of this machine began: tells it from an earlier one of the same number. None: not known.

    On Linux these are the kernel's ticks from the machine's start to the process's. psutil adds the time of the
    machine's start to them, and that sum moves when the clock is set, so that a process would seem to be another one.
    On other systems the kernel itself notes the moment, which stays; psutil reads it.
    """
    if sys.platform == "linux":
        return _start_ticks(process)
    from psutil import Error, Process

    try:
        return str(Process(process).create_time())
    except (Error, ValueError, OverflowError):
        return None


def _start_ticks(process: int) -> str | None:
    """Field 22 of /proc/PID/stat, `starttime` in proc_pid_stat(5)."""
    try:
        stat = Path(f"/proc/{process}/stat").read_text(encoding="utf-8", errors="replace")
    except OSError:
        return None
    # Field 2 is the program's name in brackets and may hold spaces and brackets itself: count from its end.
    fields = stat.rpartition(")")[2].split()
    return fields[22 - 3] if len(fields) > 22 - 3 else None
