"""The step a process is in, kept where the next process finds it if this one is killed.

The memory killer of Linux leaves no word behind. What it leaves is a run that ended without one, in some step, and a
count of its kills that has grown. So a process writes the number of each step it begins into a hidden file of the run
folder, without waiting for the disk (the kernel keeps it when only the process dies), and removes the file when it ends
in any other way than being killed. A process that starts and finds the file knows that the one before it was killed,
and concludes that memory was the reason when

- the kernel has counted a kill for memory in this process's control group since that process began, or
- the kernel has counted one on the machine, and it is the second process in a row that was killed in the very same
  step, or
- it is the third in a row.

It then climbs one rung of the memory ladder. A machine that is taken away once, or twice, or in different steps does
not look like that. Costs one write of some 150 bytes to the page cache a step.
"""

from __future__ import annotations

import json
import os
from contextlib import suppress
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any, Self

from lexitrain.errors import number_of
from lexitrain.storage import boot_id

_FILE = ".in-step"
_WIDTH = 160


@dataclass(frozen=True, slots=True)
class StepMark:
    """What the file holds.

    Attributes:
        step: number of the step that was begun, from 0.
        kills: how many processes in a row, before this one, were killed in this step.
        in_group, on_machine: the kernel's counts of kills for memory when the process began; None: not known.
        boot: identifies the kernel's run that counted.
    """

    step: int
    kills: int
    in_group: int | None
    on_machine: int | None
    boot: str | None


@dataclass(frozen=True, slots=True)
class Crash:
    """A process that was probably killed for its memory: in which step (from 0), and what says so."""

    step: int
    reason: str


class CrashMarker:
    """While entered, the file says which step this process is in.

    Attributes:
        crash: set when the processes before this one were probably killed for their memory.

    Args:
        folder: the run's. A folder that cannot be written is left alone: the mark is a help, not a need.
        write: False for a process that shares the run and leaves writing to another.
        root: below which the kernel's counts are read.
    """

    def __init__(self, folder: Path, *, write: bool = True, root: Path = Path("/")) -> None:
        self._path = folder / _FILE
        self._write = write
        self._file: int | None = None
        self._now = StepMark(-1, 0, *memory_kills(root), boot_id())
        self._before = _read(self._path)
        self.crash = _judge(self._before, self._now)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *exception: object) -> None:
        self.clear()

    def clear(self) -> None:
        """Remove the file: what it told was acted upon, or the process ends by itself."""
        self._before = self.crash = None
        if self._file is not None:
            os.close(self._file)
            self._file = None
        if self._write:
            with suppress(OSError):  # read-only or gone: it cannot mislead the next process either
                self._path.unlink(missing_ok=True)

    def begin(self, step: int) -> None:
        """Note that `step` begins."""
        if not self._write:
            return
        before = self._before
        kills = before.kills + 1 if before is not None and before.step == step else 0
        now = replace(self._now, step=step, kills=kills)
        line = json.dumps(asdict(now)).encode().ljust(_WIDTH) + b"\n"
        try:
            if self._file is None:
                self._file = os.open(self._path, os.O_WRONLY | os.O_CREAT, 0o644)
            # Overwritten in place and always of one length: no reader finds the end of a longer line before it.
            os.pwrite(self._file, line, 0)
        except OSError:
            self._write = False  # no room, no right: the run says so where it needs to write


def memory_kills(root: Path = Path("/")) -> tuple[int | None, int | None]:
    """How often the kernel has killed for memory: in this control group (version 2), on the machine. None: unknown."""
    return _group_kills(root), _count(root / "proc/vmstat")


def _group_kills(root: Path) -> int | None:
    try:
        lines = (root / "proc/self/cgroup").read_text().splitlines()
    except OSError:
        return None
    for line in lines:
        if line.startswith("0::"):
            return _count(root / "sys/fs/cgroup" / line[3:].strip("/") / "memory.events")
    return None


def _count(path: Path) -> int | None:
    try:
        lines = path.read_text().splitlines()
    except OSError:
        return None
    counts = dict(line.split(" ", 1) for line in lines if " " in line)
    value = counts.get("oom_kill", "")
    return int(value) if value.isdecimal() else None


def _read(path: Path) -> StepMark | None:
    try:
        content: dict[str, Any] = json.loads(path.read_bytes())
        mark = StepMark(**content)
    except (OSError, ValueError, TypeError):
        return None
    sound = isinstance(mark.step, int) and isinstance(mark.kills, int) and mark.step >= 0
    return mark if sound else None


def _judge(before: StepMark | None, now: StepMark) -> Crash | None:
    if before is None:
        return None
    kills, same = before.kills + 1, before.boot == now.boot
    if same and _grown(before.in_group, now.in_group):
        return Crash(before.step, "killed by the system's memory killer")
    if same and _grown(before.on_machine, now.on_machine) and kills >= 2:
        return Crash(
            before.step,
            f"killed {number_of(kills, 'time')} there, and the memory killer was at work",
        )
    if kills >= 3:
        return Crash(before.step, f"killed {number_of(kills, 'time')} in a row there")
    return None


def _grown(before: int | None, now: int | None) -> bool:
    return before is not None and now is not None and now > before
