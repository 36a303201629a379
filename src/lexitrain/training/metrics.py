"""What a run says while it trains: the numbers of a metrics line, the speed, the time left.

The library prints nothing; an observer is told, and the command line shows it. Times are wall-clock seconds of the
training steps alone: validation and checkpoints are timed apart and enter the time left with their own measured cost.
"""

from __future__ import annotations

import resource
import sys
from collections import deque
from dataclasses import dataclass, field
from statistics import fmean
from typing import Protocol

import torch

from lexitrain.runs.journals import Event, Metrics

_RECENT_STEPS = 50


@dataclass(frozen=True, slots=True)
class Progress:
    """The state of a run after a step.

    Attributes:
        step, total_steps: optimizer steps done and planned.
        epoch: passes over the data done, a fraction.
        loss: mean token loss of the step, nats.
        validation_loss: the last one measured.
        tokens_per_second: layout tokens, over the last steps.
        seconds_left: expected, from what was measured in this run; None before the first step.
    """

    step: int
    total_steps: int
    epoch: float
    loss: float
    validation_loss: float | None
    tokens_per_second: float
    seconds_left: float | None


class Observer(Protocol):
    """Is told what happens; whatever it does changes nothing in the training."""

    def stage(self, text: str) -> None:
        """A part of the work begins: loading, tokenizing, validating, ..."""

    def progress(self, progress: Progress) -> None:
        """A step is done."""

    def event(self, event: Event) -> None:
        """Something was written to events.jsonl."""


class Silent:
    """The observer that shows nothing."""

    def stage(self, text: str) -> None:
        """Ignored."""

    def progress(self, progress: Progress) -> None:
        """Ignored."""

    def event(self, event: Event) -> None:
        """Ignored."""


@dataclass
class Window:
    """The steps since the last line of metrics.jsonl; part of every checkpoint, so that no line is lost or wrong."""

    steps: int = 0
    samples: int = 0
    loss_sum: float = 0.0
    supervised_tokens: int = 0
    layout_tokens: int = 0
    seconds: float = 0.0
    data_wait_seconds: float = 0.0
    learning_rate: float = 0.0
    grad_norm: float = 0.0

    def metrics(self, step: int, epoch: float, validation_loss: float | None) -> Metrics:
        """The line that closes the window."""
        seconds = max(self.seconds, 1e-9)
        return Metrics(
            step=step,
            epoch=round(epoch, 6),
            loss=self.loss_sum / self.supervised_tokens,
            learning_rate=self.learning_rate,
            grad_norm=self.grad_norm,
            samples_per_second=round(self.samples / seconds, 3),
            tokens_per_second=round(self.layout_tokens / seconds, 1),
            supervised_tokens=self.supervised_tokens,
            layout_tokens=self.layout_tokens,
            data_wait_seconds=round(self.data_wait_seconds, 4),
            memory_gb=round(peak_memory_gb(), 3),
            validation_loss=validation_loss,
        )


@dataclass
class Speed:
    """Measured costs of this process's steps, validations and checkpoints, and of their writing behind the loop."""

    steps: deque[tuple[float, int]] = field(default_factory=lambda: deque(maxlen=_RECENT_STEPS))
    validations: list[float] = field(default_factory=list[float])
    checkpoints: list[float] = field(default_factory=list[float])
    writes: list[float] = field(default_factory=list[float])

    @property
    def tokens_per_second(self) -> float:
        """Layout tokens a second over the last steps."""
        seconds = sum(each for each, _ in self.steps)
        return sum(tokens for _, tokens in self.steps) / seconds if seconds else 0.0

    def slowest_cycle(self, *, validation: bool) -> float:
        """The slowest step, validation (where one is asked for) and checkpoint so far, together, seconds."""
        return (
            max((seconds for seconds, _ in self.steps), default=0.0)
            + max(self.checkpoints, default=0.0)
            + max(self.writes, default=0.0)
            + (max(self.validations, default=0.0) if validation else 0.0)
        )

    def seconds_left(self, steps: int, validations: int, checkpoints: int) -> float | None:
        """Expected time for what remains; None while no step has been measured."""
        if not self.steps:
            return None
        return (
            steps * fmean(seconds for seconds, _ in self.steps)
            + validations * _mean(self.validations)
            + checkpoints * _mean(self.checkpoints)
        )


def peak_memory_gb() -> float:
    """Peak memory so far, 10^9 bytes: of the GPU's allocator, or resident memory of the process on a CPU."""
    if torch.cuda.is_available():
        return torch.cuda.max_memory_allocated() / 1e9
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return peak * (1 if sys.platform == "darwin" else 1024) / 1e9


def _mean(values: list[float]) -> float:
    return fmean(values) if values else 0.0
