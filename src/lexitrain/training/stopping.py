"""When a run stops before its end: after a step, after a time, at a moment, or when a signal asks for it.

A time limit is met, not exceeded: the run stops when the next step, with the validation that may be due after it and
the checkpoint that saves it, might end too late. How long those take is judged by the slowest of each that this process
has measured, and half as much again. Before anything was measured, the first step is simply done. Durations are counted
by a clock that nobody can set; a moment is waited for by both clocks, and whichever reaches it first counts, so that a
clock that is set back does not keep a run from stopping.

A notebook's stop button, Ctrl+C and a machine that is taken away send SIGINT or SIGTERM. The first one sets a flag,
which the loop answers after the step at hand. A second SIGINT acts at once, as it does without this: checkpoints are
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

if TYPE_CHECKING:
    from lexitrain.step import Processes
    from lexitrain.training.metrics import Speed

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

    def time_is_up(self, speed: Speed, *, validation_due: bool) -> bool:
        """True when one more step might end too late.

        Args:
            speed: what steps, validations and checkpoints took so far.
            validation_due: whether the validation loss is measured after the next step.
        """
        left = self.seconds_left()
        return left is not None and left <= _MARGIN * speed.slowest_cycle(validation=validation_due)

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


_SIGNALS = (signal.SIGINT, signal.SIGTERM)


class Interrupt:
    """While entered, the two signals set `noted` instead of ending the process.

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
