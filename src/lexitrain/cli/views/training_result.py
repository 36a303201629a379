"""How `lexitrain train` ends: what came out, beside what was predicted, and where it lies."""

from __future__ import annotations

from typing import TYPE_CHECKING

from lexitrain.cli.terminal.console import console
from lexitrain.errors import number_of

if TYPE_CHECKING:
    from lexitrain import TrainingResult


def print_result(result: TrainingResult) -> None:
    """Say what came out and where it lies."""
    out = console()
    for task, part in (result.parts or {"": result}).items():
        name = f"{task}: " if task else ""
        again = " (it had finished before)" if part.reason == "already_finished" else ""
        early = " by early stopping" if part.reason == "early_stopping" else ""
        out.print(f"{name}[green]finished[/]{early} after {number_of(part.step, 'step')}{again}")
        if part.best_loss is not None:
            before = "" if part.first_loss is None else f" (before training {part.first_loss:.4f})"
            out.print(
                f"  validation loss {part.best_loss:.4f} at step {part.best_step}{before}",
                soft_wrap=True,
            )
        if part.curve is not None:
            out.print(f"  {part.curve.said}", markup=False, soft_wrap=True)
        if part.foresight:
            out.print(f"  predicted / measured: {_beside(part)}", soft_wrap=True)
        which = (
            f", the last one (step {part.shipped_step}): {part.shipped_why}"
            if part.shipped_why
            else ""
        )
        out.print(f"  adapter in {part.adapter}{which}", markup=False, soft_wrap=True)


def _beside(result: TrainingResult) -> str:
    """Peak (on a GPU), step time and hours, each as it was predicted and as it came."""
    shown = (("GPU peak", "peak_gb", "GB"), ("step", "step_seconds", "s"), ("steps", "hours", "h"))
    return ", ".join(
        f"{name} {result.foresight[key]['predicted']:.3g} / {result.foresight[key]['measured']:.3g} {unit}"
        for name, key, unit in shown
        if key in result.foresight
    )
