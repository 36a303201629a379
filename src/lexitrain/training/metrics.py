"""The numbers of a run while it trains: a metrics line, speed and time left, loss spikes, peak memory.

Times are wall-clock seconds of the training steps alone: validation and checkpoints are timed apart and enter the time
left with their own measured cost.

A loss is a spike when it exceeds the median of the last 50 losses by more than 8 scaled median absolute deviations (the
deviation times 1.4826 estimates the standard deviation of a normal distribution; Rousseeuw & Croux 1993). Median and
deviation are not moved by the spikes themselves. A floor of 5 % of the median keeps a run whose losses hardly differ
quiet. Spikes are reported and change nothing else. The losses are part of every checkpoint, so a resumed run reports
what an undisturbed one does.
"""

from __future__ import annotations

import resource
import sys
from collections import deque
from collections.abc import Mapping
from dataclasses import dataclass, field
from statistics import fmean, median

import torch

from lexitrain.runs import Metrics
from lexitrain.watching import TimeLeft, time_left

_RECENT_STEPS = 50
"""Steps whose mean speed tells the time left: enough to even out lengths, few enough to follow a slower machine."""

_SPIKE_WINDOW = 50
_SPIKE_NEEDED = 20
"""Losses before the first spike can be told: the median of fewer is moved by each of them."""
_SPIKE_DEVIATIONS = 8.0
_TO_STANDARD_DEVIATION = 1.4826
_SPIKE_FLOOR = 0.05


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

    def metrics(
        self,
        step: int,
        epoch: float,
        validation_loss: float | None,
        validation_losses: Mapping[str, float],
        times: Mapping[str, float | None] | None = None,
    ) -> Metrics:
        """The line that closes the window.

        Args:
            step, epoch: where the run stands.
            validation_loss, validation_losses: of all tasks and of each, where measured.
            times: the line's times that no checkpoint holds.
        """
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
            validation_losses=dict(validation_losses) or None,
            **(times or {}),
        )


@dataclass
class StepTimes:
    """Times of the steps since the last line that this process has done; no part of a checkpoint.

    Attributes:
        steps: how many.
        slowest: seconds of the longest.
        used, waited: processor time of the thread that trains, and how long it waited for a processor, seconds; the
            second is None once the system has not told it.
    """

    steps: int = 0
    slowest: float = 0.0
    used: float = 0.0
    waited: float | None = 0.0

    def add(self, seconds: float, used: float, waited: float | None) -> None:
        """Take in a step."""
        self.steps += 1
        self.slowest = max(self.slowest, seconds)
        self.used += used
        known = self.waited is not None and waited is not None
        self.waited = (self.waited or 0.0) + (waited or 0.0) if known else None

    def of_line(self, steps: int) -> dict[str, float | None]:
        """What the line of so many steps says; nothing where other processes did some of them."""
        if steps != self.steps:
            return {}
        found = {
            "slowest_step_seconds": self.slowest,
            "cpu_seconds": self.used,
            "cpu_wait_seconds": self.waited,
        }
        return {name: each if each is None else round(each, 4) for name, each in found.items()}


@dataclass
class Speed:
    """Measured costs of this process's steps, validations and checkpoints, and of their writing behind the loop.

    `fed` are the samples of each of the last steps and how long it waited for them.

    `waited` is how long the loop stood still for the checkpoint of each step whose event is not written yet.
    """

    steps: deque[tuple[float, int]] = field(default_factory=lambda: deque(maxlen=_RECENT_STEPS))
    fed: deque[tuple[int, float]] = field(default_factory=lambda: deque(maxlen=_RECENT_STEPS))
    validations: list[float] = field(default_factory=list[float])
    checkpoints: list[float] = field(default_factory=list[float])
    writes: list[float] = field(default_factory=list[float])
    waited: dict[int, float] = field(default_factory=dict[int, float])

    @property
    def tokens_per_second(self) -> float:
        """Layout tokens a second over the last steps."""
        seconds = sum(each for each, _ in self.steps)
        return sum(tokens for _, tokens in self.steps) / seconds if seconds else 0.0

    @property
    def samples_per_second(self) -> float:
        """Samples a second over the last steps."""
        seconds = sum(each for each, _ in self.steps)
        return sum(samples for samples, _ in self.fed) / seconds if seconds else 0.0

    @property
    def data_wait(self) -> float:
        """Share of the last steps' time that was spent waiting for data."""
        seconds = sum(each for each, _ in self.steps)
        return sum(waited for _, waited in self.fed) / seconds if seconds else 0.0

    def slowest_cycle(self, *, validation: bool, writing: float = 0.0) -> float:
        """The slowest step, validation (where one is asked for) and checkpoint so far, together, seconds.

        Args:
            validation: whether one is due.
            writing: how long the checkpoint at hand has been written; the next one waits for it. One that takes longer
                than any before may take as long again.
        """
        write = max(self.writes, default=0.0)
        write = 2 * writing if writing > write else write
        left_to_write = write - writing if writing else 0.0
        return (
            max((seconds for seconds, _ in self.steps), default=0.0)
            + max(self.checkpoints, default=0.0)
            + left_to_write
            + write
            + (max(self.validations, default=0.0) if validation else 0.0)
        )

    def left(self, steps: int, validations: int, checkpoints: int) -> TimeLeft | None:
        """Expected time for what remains, and its band; None while no step has been measured."""
        besides = validations * _mean(self.validations) + checkpoints * _mean(self.checkpoints)
        return time_left([seconds for seconds, _ in self.steps], steps, besides)


@dataclass
class LossWatch:
    """The last losses of a run.

    Attributes:
        losses: of the last steps, nats a token.
        high: whether the last one was a spike; a spike of several steps is reported once.
    """

    losses: list[float] = field(default_factory=list[float])
    high: bool = False

    def is_spike(self, loss: float) -> float | None:
        """Take in the loss of a step; the threshold that it exceeded when a spike begins with it, else None."""
        limit = self._limit()
        begins = limit is not None and loss > limit and not self.high
        self.high = limit is not None and loss > limit
        self.losses = [*self.losses, loss][-_SPIKE_WINDOW:]
        return limit if begins else None

    def _limit(self) -> float | None:
        if len(self.losses) < _SPIKE_NEEDED:
            return None
        middle = median(self.losses)
        deviation = median(abs(each - middle) for each in self.losses)
        return middle + _SPIKE_DEVIATIONS * max(
            _TO_STANDARD_DEVIATION * deviation, _SPIKE_FLOOR * middle
        )


def peak_memory_gb() -> float:
    """Peak memory so far, 10^9 bytes: of the GPU's allocator, or resident memory of the process on a CPU."""
    if torch.cuda.is_available():
        return torch.cuda.max_memory_allocated() / 1e9
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return peak * (1 if sys.platform == "darwin" else 1024) / 1e9


def _mean(values: list[float]) -> float:
    return fmean(values) if values else 0.0
