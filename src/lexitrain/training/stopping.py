"""When a run stops before its end: after a step, after a time, or at a moment.

A time limit is met, not exceeded: the run stops when the next step, with the validation that may be due after it and
the checkpoint that saves it, might end too late, judged by the slowest of each that this process has measured and half
as much again. Before anything was measured, the first step is simply done. Durations are counted by a clock that
nobody can set; a moment is waited for by both clocks, and whichever reaches it first counts, so that a clock that is
set back does not keep a run from stopping.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from datetime import datetime
from time import monotonic, time
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from lexitrain.training.metrics import Speed

_MARGIN = 1.5


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
