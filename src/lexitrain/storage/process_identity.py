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


_COUNT = "WORLD_SIZE"
_DIGITS = 9


def launcher_number(name: str, default: int) -> int:
    """What a launcher (`torchrun`) says of its processes; `default` without one.

    Args:
        name: `WORLD_SIZE`, how many processes there are, or `RANK`, `LOCAL_RANK`, which of them this one is.
        default: where the variable is not there, or empty.

    Raises:
        InputError: the variable holds no number, none that counts processes, or that of a process beyond them.
    """
    said = os.environ.get(name, "").strip()
    if not said:
        return default
    counts = name == _COUNT
    known = said.isascii() and said.isdigit() and len(said) <= _DIGITS
    if not known or (counts and int(said) < 1):
        raise _wrong(
            name,
            said,
            "a launcher of several processes writes a number there" + ", from 1 on" * counts,
        )
    number = int(said)
    if not counts and number >= (count := launcher_number(_COUNT, number + 1)):
        raise _wrong(name, said, f"the launcher has started {count}, numbered from 0 on ({_COUNT})")
    return number


def _wrong(name: str, said: str, why: str) -> InputError:
    return InputError(
        f"This is {said[:40]!r}, and {why}.",
        where=f"environment variable {name}",
        fix=f"Let a launcher set it (torchrun), or delete it: unset {name}",
    )


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
