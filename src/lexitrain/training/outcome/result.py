"""How a call of `train` ended."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

from lexitrain.models import WEIGHTS_FILE
from lexitrain.training.outcome.learning_curve import LearningCurve, learning_curve

if TYPE_CHECKING:
    from lexitrain.runs import Run


@dataclass(frozen=True)
class TrainingResult:
    """How a call of `train` ended.

    Attributes:
        run: the run's folder.
        state: `finished`, or `stopped` when the same call goes on later.
        reason: end of the schedule, early_stopping, stop_after_step, time_limit, the signal's name, or
            already_finished.
        step, total_steps: optimizer steps done and planned.
        first_loss: validation loss before training, nats a supervised token.
        validation_loss: the last one measured.
        best_step, best_loss: of the lowest validation loss.
        adapter: folder of the adapter, when finished.
        shipped: which one lies there, `best` (of the lowest validation loss) or `last`; None before the end.
        shipped_step: the step that it is of.
        shipped_why: why it is not the best one; empty where it is.
        curve: when finished, what the validation losses say of the run's length, and a sentence on what to do.
        seconds: spent in training steps, over all calls.
        foresight: when finished, step_seconds and hours, and peak_gb of the allocator on a GPU, each `predicted` and
            `measured`.
        parts: with one adapter per task, the result of each task; the numbers above are then sums and means.
        first: False in a process that is not the first of its run, and so has nothing to tell.
    """

    run: Path
    state: Literal["finished", "stopped"]
    reason: str
    step: int
    total_steps: int
    first_loss: float | None = None
    validation_loss: float | None = None
    best_step: int | None = None
    best_loss: float | None = None
    adapter: Path | None = None
    shipped: str | None = None
    shipped_step: int | None = None
    shipped_why: str = ""
    curve: LearningCurve | None = None
    seconds: float = 0.0
    foresight: Mapping[str, Mapping[str, float]] = field(default_factory=dict[str, Any])
    parts: dict[str, TrainingResult] = field(default_factory=dict[str, "TrainingResult"])
    first: bool = True

    def to_json(self) -> dict[str, Any]:
        """The result as the JSON document of `lexitrain train --json`."""
        document: dict[str, Any] = {
            "run": str(self.run),
            "state": self.state,
            "reason": self.reason,
            "step": self.step,
            "total_steps": self.total_steps,
            "validation_loss": {
                "before": self.first_loss,
                "last": self.validation_loss,
                "best": self.best_loss,
                "best_step": self.best_step,
            },
            "adapter": str(self.adapter) if self.adapter else None,
            "shipped": {
                "adapter": self.shipped,
                "step": self.shipped_step,
                "why": self.shipped_why,
            },
            "learning_curve": None if self.curve is None else asdict(self.curve),
            "seconds": round(self.seconds, 3),
            "foresight": dict(self.foresight),
        }
        if self.parts:
            document["parts"] = {task: part.to_json() for task, part in self.parts.items()}
        return document


def finished_before(run: Run) -> TrainingResult | None:
    """The result of a run that has reached its end before, and was not changed since; None for any other."""
    ends = (each for each in reversed(run.events()) if each.event in {"finished", "accepted"})
    last = next(ends, None)
    if last is None or last.event == "accepted" or not (run.adapter / WEIGHTS_FILE).is_file():
        return None
    return TrainingResult(
        run=run.path,
        state="finished",
        reason="already_finished",
        step=last.step,
        total_steps=last.details["total_steps"],
        first_loss=first_loss(run),
        validation_loss=last.details["validation_loss"],
        best_step=last.details["best_step"],
        best_loss=last.details["best_loss"],
        adapter=run.adapter,
        shipped=last.details.get("adapter"),
        shipped_step=last.details["best_step"],
        shipped_why=last.details.get("why", ""),
        curve=learning_curve(run),
        seconds=last.details["seconds"],
        foresight=last.details.get("foresight", {}),
    )


def first_loss(run: Run) -> float | None:
    """Validation loss before training, nats a supervised token, as the run's first event tells it."""
    started = next((each for each in run.events() if each.event == "started"), None)
    return None if started is None else started.details["validation_loss"]
