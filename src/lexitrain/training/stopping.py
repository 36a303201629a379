"""When a run stops before its end: after a step, after a time, at a moment, or when a signal asks for it.

A time limit is met, not exceeded: the run stops when the next step, with the validation that may be due after it, the
checkpoint that saves it and the copy of that to the mirror, might end too late. How long those take is judged by the
slowest of each that this process has measured, writes and copies that are still going on included, and half as much
again. Before anything was measured, the first step is simply done. For the mirror a quarter of the whole time is set
aside at most; one that is slower is behind when the run stops, which is told. Durations are counted by a clock that
nobody can set; a moment is waited for by both clocks, and whichever reaches it first counts, so that a clock that is
set back does not keep a run from stopping.

A notebook's stop button, Ctrl+C and a machine that is taken away send SIGINT or SIGTERM, a terminal or connection that
is closed sends SIGHUP; what was started with nohup goes on. The first one sets a flag, which the loop answers after the
step at hand. A second SIGINT acts at once, as it does without this: checkpoints are
written so that even then none is half-written. Of several processes each may get a signal at another moment, or only
one of them. They stop together: `agree` shares what each has noted, and only what was agreed on decides anything.
"""

from __future__ import annotations

import signal
import threading
from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import datetime
from time import monotonic, time
from types import FrameType
from typing import TYPE_CHECKING, Any, Self

from lexitrain.watching import PATIENCE_SECONDS

if TYPE_CHECKING:
    from lexitrain.step import Processes
    from lexitrain.training.metrics import Speed

_MIRROR_SHARE = 0.25
_TRACKER_SECONDS_IN_A_HURRY = 10.0

_SHORTEST_WAIT = 1.0
"""Seconds in which a mirror that is not slow is brought up to date."""

_MARGIN = 1.5
"""How much longer than the slowest so far the next step, validation and checkpoint may take."""


@dataclass(frozen=True)
class Limits:
    """Where a call of `train` stops; without any, at the end of the run.

    Attributes:
        step: after this many optimizer steps.
        seconds: after this time, counted from when this object was made.
        moment: at this local time, or aware time of any zone.
    """

    step: int | None = None
    seconds: float | None = None
    moment: datetime | None = None
    _start: float = field(default_factory=monotonic)
    _start_time: float = field(default_factory=time)

    @property
    def timed(self) -> bool:
        """True when there is a time limit."""
        return self.seconds is not None or self.moment is not None

    def step_reached(self, step: int) -> bool:
        """True after the step to stop after."""
        return self.step is not None and step >= self.step

    def time_is_up(
        self,
        speed: Speed,
        *,
        validation_due: bool,
        writing: float = 0.0,
        mirror: float = 0.0,
    ) -> bool:
        """True when one more step might end too late.

        Args:
            speed: what steps, validations and checkpoints took so far.
            validation_due: whether the validation loss is measured after the next step.
            writing: how long the checkpoint that is being written has taken so far, seconds; 0: none is.
            mirror: how long until what is written now would be in the mirror, seconds.
        """
        left = self.seconds_left()
        if left is None or not speed.steps:
            return left is not None and left <= 0
        cycle = speed.slowest_cycle(validation=validation_due, writing=writing)
        return left <= _MARGIN * cycle + min(_MARGIN * mirror, _MIRROR_SHARE * self._whole())

    def mirror_patience(self) -> float | None:
        """How long to wait for the mirror at the end, seconds; None: there is no time limit."""
        left = self.seconds_left()
        return None if left is None else max(left, _SHORTEST_WAIT)

    def tracker_patience(self) -> float:
        """How long to wait for the trackers at the end, seconds: little where there is a time limit, for the mirror
        needs the rest, and what a tracker lacks is told by the next call."""
        left = self.seconds_left()
        if left is None:
            return PATIENCE_SECONDS
        return min(_TRACKER_SECONDS_IN_A_HURRY, max(left, _SHORTEST_WAIT))

    def _whole(self) -> float:
        """From the start to the nearer of the two time limits, seconds."""
        whole = [] if self.seconds is None else [self.seconds]
        if self.moment is not None:
            whole.append(self.moment.timestamp() - self._start_time)
        return max(0.0, min(whole, default=0.0))

    def seconds_left(self) -> float | None:
        """Until the nearer of the two time limits, seconds; negative after it. None: there is none."""
        past = monotonic() - self._start
        left: list[float] = []
        if self.seconds is not None:
            left.append(self.seconds - past)
        if self.moment is not None:
            until = self.moment.timestamp()
            left += [until - time(), until - self._start_time - past]
        return min(left, default=None)


# Windows has no SIGHUP.
_SIGNALS = tuple(
    signal.Signals[name] for name in ("SIGINT", "SIGTERM", "SIGHUP") if hasattr(signal, name)
)


class Interrupt:
    """While entered, the signals set `noted` instead of ending the process. An ignored SIGHUP (nohup) stays ignored.

    Only the main thread may set handlers; in any other one the signals keep their old meaning.

    Attributes:
        noted: the signal that this process got, by name.
        agreed: the signal that all processes answer, by name; set by `agree`.

    Args:
        tell: called with a sentence for the user when a signal arrives.
    """

    def __init__(self, tell: Callable[[str], None] | None = None) -> None:
        self.noted: str | None = None
        self.agreed: str | None = None
        self._tell = tell
        self._before: dict[signal.Signals, Any] = {}

    def __enter__(self) -> Self:
        if threading.current_thread() is threading.main_thread():
            for each in _SIGNALS:
                if each.name != "SIGHUP" or signal.getsignal(each) is not signal.SIG_IGN:
                    self._before[each] = signal.signal(each, self._note)
        return self

    def __exit__(self, *exception: object) -> None:
        self._restore()

    def agree(self, processes: Processes) -> bool:
        """Whether any process has got a signal; all of them call this, and all get the same answer."""
        number = processes.largest(signal.Signals[self.noted] if self.noted else 0)
        if number:
            self.agreed = signal.Signals(number).name
        return self.agreed is not None

    def _note(self, number: int, frame: FrameType | None) -> None:  # noqa: ARG002
        self.noted = signal.Signals(number).name
        self._restore(signal.SIGINT)
        if self._tell is not None:
            self._tell(f"{self.noted}: finishing the step, then saving")

    def _restore(self, *which: signal.Signals) -> None:
        for each in which or tuple(self._before):
            if each in self._before:
                signal.signal(each, self._before.pop(each))
