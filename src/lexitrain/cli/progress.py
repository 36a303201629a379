"""Progress of long work on standard error: a bar with the time left in a terminal, a line now and then elsewhere."""

from __future__ import annotations

from collections.abc import Callable, Generator
from contextlib import contextmanager

from lexitrain.cli.console import errors_console

ShowProgress = Callable[[str, int, int], None]

SECONDS_BETWEEN_LINES = 10.0


@contextmanager
def shown_progress() -> Generator[ShowProgress]:
    """Yields a function of (what is being done, done, total); a total of 0 is unknown."""
    out = errors_console()
    if out.is_terminal:
        from rich.progress import (
            BarColumn,
            MofNCompleteColumn,
            Progress,
            TextColumn,
            TimeRemainingColumn,
        )

        columns = (TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn())
        with Progress(*columns, TimeRemainingColumn(), console=out, transient=True) as bar:
            shown = bar.add_task("")
            yield lambda stage, done, total: bar.update(
                shown, description=stage, completed=done, total=total or None
            )
    else:
        yield _lines(out.print)


def _lines(say: Callable[[str], None]) -> ShowProgress:
    from time import monotonic

    told = began = monotonic()
    current = ""

    def show(stage: str, done: int, total: int) -> None:
        nonlocal told, began, current
        now = monotonic()
        if stage != current:
            current, began = stage, now
        if now - told < SECONDS_BETWEEN_LINES:
            return
        told = now
        left = (now - began) * (total - done) / done if done and total else 0.0
        count = f" {done}/{total}" if total else ""
        say(f"{stage}{count}{f', about {left:.0f} s left' if left else ''}")

    return show
