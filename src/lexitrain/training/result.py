"""How a call of `train` ended, of one run or of one run a task."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal


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
        adapter: folder of the best adapter, when finished.
        seconds: spent in training steps, over all calls.
        foresight: when finished, peak_gb, step_seconds and hours, each predicted and measured.
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
    seconds: float = 0.0
    foresight: Mapping[str, Mapping[str, float]] = field(default_factory=dict[str, Any])
    parts: dict[str, TrainingResult] = field(default_factory=dict[str, "TrainingResult"])
    first: bool = True


def combined(run: Path, parts: dict[str, TrainingResult]) -> TrainingResult:
    """The result of a folder with one run a task."""
    results = list(parts.values())
    stopped = [each for each in results if each.state == "stopped"]
    return TrainingResult(
        run=run,
        state="stopped" if stopped else "finished",
        reason=(stopped or results)[0].reason,
        step=sum(each.step for each in results),
        total_steps=sum(each.total_steps for each in results),
        first_loss=_mean(each.first_loss for each in results),
        validation_loss=_mean(each.validation_loss for each in results),
        best_loss=_mean(each.best_loss for each in results),
        seconds=sum(each.seconds for each in results),
        parts=parts,
    )


def _mean(losses: Iterable[float | None]) -> float | None:
    known = [loss for loss in losses if loss is not None]
    return sum(known) / len(known) if known else None
