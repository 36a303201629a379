"""How `lexitrain runs` lists runs: a line each, and below how to go on with those that have not finished."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from lexitrain.cli.terminal.console import console
from lexitrain.errors import number_of

if TYPE_CHECKING:
    from lexitrain import RunSummary


def print_runs(found: list[RunSummary], folder: Path) -> None:
    """The table, and the next command of each run that can go on."""
    from rich.markup import escape
    from rich.table import Table

    table = Table(box=None, pad_edge=False, header_style="bold")
    for heading in ("run", "recipe", "state", "step", "loss", "best validation", "last saved"):
        table.add_column(heading, no_wrap=heading != "run", overflow="fold")
    colours = {"finished": "green", "broken": "red", "running": "cyan"}
    for each in found:
        colour = colours.get(each.state, "yellow")
        table.add_row(
            escape(_short(each.path, folder)),
            escape(each.recipe or "–"),
            f"[{colour}]{each.state}[/]",
            f"{each.step}/{each.total_steps or '?'}",
            _number(each.loss),
            _number(each.best_validation_loss),
            _ago(each),
        )
    out = console()
    out.print(table)
    _print_apart(found, folder)
    for each in found:
        if each.state in {"stopped", "interrupted", "broken"}:
            out.print(escape(f"\n{_short(each.path, folder)}:\n  {each.next}"), soft_wrap=True)


def _print_apart(found: list[RunSummary], folder: Path) -> None:
    """A line a run: in which settings it differs from most, and what it scores."""
    for each in found:
        scores = ", ".join(f"{task} {score}" for task, score in each.scores.items())
        told = "; ".join(filter(None, [", ".join(each.differs), scores]))
        if told:
            out = console()
            out.print(f"{_short(each.path, folder)}: {told}", markup=False, soft_wrap=True)


def _short(path: str, folder: Path) -> str:
    """The run's path below the folder that is listed."""
    return str(Path(path).relative_to(folder)) if Path(path) != folder else folder.name or path


def _number(value: float | None) -> str:
    return "–" if value is None else f"{value:.4f}"


def _ago(summary: RunSummary) -> str:
    age = summary.checkpoint_age_seconds
    if age is None:
        return "never"
    if age < 90:
        told = f"{age:.0f} s"
    elif age < 5400:
        told = f"{age / 60:.0f} min"
    elif age < 48 * 3600:
        told = f"{age / 3600:.0f} h"
    else:
        told = f"{number_of(round(age / 86400), 'day')}"
    return f"step {summary.checkpoint_step}, {told} ago"
