"""How a build looks in the end, and what it would do."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from rich.console import Console

    from lexitrain import BuildOutlook, BuildResult


def print_build(out: Console, result: BuildResult) -> None:
    """The stages with their times, what the model is worth, and where everything lies."""
    from rich.markup import escape
    from rich.table import Table

    table = Table(box=None, pad_edge=False, header_style="bold")
    for heading in ("stage", "", ""):
        table.add_column(heading)
    for stage, seconds in result.seconds.items():
        again = "done before" if stage in result.skipped else ""
        table.add_row(stage, _time(seconds), again)
    out.print(table)
    plan, train = result.made.get("plan", {}), result.made.get("train", {})
    out.print(f"\n{escape(str(plan.get('why', '')))}", soft_wrap=True)
    if train.get("best_loss") is not None and train.get("first_loss") is not None:
        out.print(
            f"Validation loss {train['first_loss']:.4f} before training, {train['best_loss']:.4f} of the adapter."
        )
    evaluated = result.made.get("evaluate", {})
    for verdict in evaluated.get("verdicts", {}).values():
        out.print(f"  {escape(str(verdict))}", soft_wrap=True)
    out.print(escape(str(evaluated.get("against_the_base", ""))), soft_wrap=True)
    for name in result.made.get("export", {}).get("files", ()):
        out.print(
            f"\nFile: {escape(str(result.folder / 'run' / 'export' / str(name)))}", soft_wrap=True
        )
    for sentence in result.missed:
        out.print(f"[red]missed[/]: {escape(sentence)}", soft_wrap=True)
    if page := result.made.get("report", {}).get("page"):
        out.print(f"Report: {escape(str(result.folder / 'run' / str(page)))}", soft_wrap=True)
    out.print(f"Everything lies in {escape(str(result.folder))}.", soft_wrap=True)


def print_outlook(out: Console, found: BuildOutlook) -> None:
    """What would be done, and what it would cost."""
    from rich.markup import escape

    for stage, done in found.stages.items():
        out.print(
            f"  {stage}: {'was done; again where its inputs have changed' if done else 'to do'}"
        )
    out.print(f"\n{escape(found.why)}", soft_wrap=True)


def _time(seconds: float) -> str:
    minutes, rest = divmod(round(seconds), 60)
    return f"{minutes} min {rest:02d} s" if minutes else f"{rest} s"
