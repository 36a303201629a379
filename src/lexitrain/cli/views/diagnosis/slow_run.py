"""How `lexitrain doctor RUN` shows where the time of a run went."""

from __future__ import annotations

from typing import TYPE_CHECKING

from lexitrain.cli.terminal.console import console
from lexitrain.errors import number_of

if TYPE_CHECKING:
    from lexitrain import SlowRun


def print_slow_run(found: SlowRun) -> None:
    """Where the time went, what mending would gain, and the three questions that are asked first."""
    from rich.markup import escape
    from rich.table import Table

    out = console()
    out.print(
        f"[bold]{escape(str(found.run))}[/]: {found.state}, {found.steps:,} of {number_of(found.total_steps, 'step')}, "
        f"{found.step_seconds:.3f} s a step; the whole run {found.minutes:.1f} min",
        soft_wrap=True,
    )
    table = Table(box=None, pad_edge=False, show_header=False)
    table.add_column(justify="left")
    table.add_column(justify="right")
    table.add_column(justify="right")
    whole = sum(found.parts.values()) or 1.0
    for part, seconds in found.parts.items():
        table.add_row(part, f"{seconds:.4f} s a step", f"{seconds / whole:.0%}")
    out.print(table)
    out.print()
    for cause in found.causes:
        gain = "gain not known" if cause.gain_minutes is None else f"{cause.gain_minutes:.2f} min"
        out.print(f"[bold]{escape(cause.name)}[/]: {gain} ({cause.basis})", soft_wrap=True)
        out.print(f"        {cause.found}", markup=False, soft_wrap=True)
        out.print(f"        {cause.fix}", markup=False, soft_wrap=True)
    if not found.causes:
        out.print("Nothing found that would gain a hundredth of the run.")
    out.print()
    for question, answer in found.questions:
        out.print(f"{question} {answer}", markup=False, soft_wrap=True)
    for note in found.notes:
        out.print(f"Note: {note}", markup=False, soft_wrap=True)
