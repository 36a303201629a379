"""What happens in a run is written to events.jsonl and told to an observer.

The library prints nothing; the command line is an observer that shows what it is told.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Protocol

if TYPE_CHECKING:
    from lexitrain.runs import Event, Run
    from lexitrain.training.recovery.state import TrainingState
    from lexitrain.watching import TimeLeft


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
        left: the same with its band; None where too few steps are measured for one.
        samples_per_second: over the last steps.
        data_wait: share of the last steps' time that was spent waiting for data, 0 to 1.
        memory_gb: peak so far, 10^9 bytes: of the GPU's allocator, or of the process on a CPU.
    """

    step: int
    total_steps: int
    epoch: float
    loss: float
    validation_loss: float | None
    tokens_per_second: float
    seconds_left: float | None
    left: TimeLeft | None = None
    samples_per_second: float = 0.0
    data_wait: float = 0.0
    memory_gb: float | None = None


class Observer(Protocol):
    """Is told what happens; whatever it does changes nothing in the training."""

    def stage(self, text: str) -> None:
        """A part of the work begins: loading, tokenizing, validating, ..."""

    def progress(self, progress: Progress) -> None:
        """A step is done."""

    def event(self, event: Event) -> None:
        """Something was written to events.jsonl; or mirror or tracker of a run that had finished were looked after."""


class Silent:
    """The observer that shows nothing."""

    def stage(self, text: str) -> None:
        """Ignored."""

    def progress(self, progress: Progress) -> None:
        """Ignored."""

    def event(self, event: Event) -> None:
        """Ignored."""


@dataclass(frozen=True, slots=True)
class Outcome:
    """Something that was done, or went wrong, in a background thread: an event to be.

    Attributes:
        event: its name.
        step: that it is about; None: whatever step the run is at.
        details: whatever tells the reader more.
    """

    event: str
    step: int | None = None
    details: dict[str, Any] = field(default_factory=dict[str, Any])


@dataclass(frozen=True, slots=True)
class EventLog:
    """The events of a run, each with the step at which it happened.

    Attributes:
        run: whose events.jsonl they are written to.
        state: says the present step.
        observer: is told each of them after it is written.
    """

    run: Run
    state: TrainingState
    observer: Observer

    def write(self, event: str, **details: Any) -> None:
        """An event of the present step."""
        self.observer.event(self.run.append_event(event, self.state.step, **details))

    def write_outcomes(self, outcomes: Iterable[Outcome]) -> None:
        """What was done, or went wrong, in background threads."""
        for each in outcomes:
            step = self.state.step if each.step is None else each.step
            self.observer.event(self.run.append_event(each.event, step, **each.details))
