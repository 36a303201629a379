"""Progress of long work on standard error: a bar with the time left in a terminal, a line now and then elsewhere."""

from __future__ import annotations

from collections.abc import Callable, Generator
from contextlib import contextmanager
from time import monotonic
from typing import TYPE_CHECKING

from lexitrain.cli.terminal.console import errors_console

if TYPE_CHECKING:
    from rich.console import Console
    from rich.progress import Progress, ProgressColumn

ShowProgress = Callable[[str, int, int], None]

SECONDS_BETWEEN_LINES = 10.0


class NowAndThen:
    """Says when the next line is due, so that a log file does not fill with progress.

    Args:
        seconds: between two lines, counted from now.
    """

    def __init__(self, seconds: float = SECONDS_BETWEEN_LINES) -> None:
        self._seconds = seconds
        self._last = monotonic()

    def due(self, *, at_once: bool = False) -> bool:
        """Whether a line is due now, or wanted `at_once`; the next one is then counted from here."""
        now = monotonic()
        if not at_once and now - self._last < self._seconds:
            return False
        self._last = now
        return True


def redraws(out: Console) -> bool:
    """Whether what is shown there can be drawn again in place: a terminal that can move its cursor.

    FORCE_COLOR and its like ask for colours in a pipe or a file, and rich takes them for a terminal. There is no cursor
    there.
    """
    return out.is_terminal and not out.is_dumb_terminal and out.file.isatty()


def live_bar(out: Console, *columns: ProgressColumn) -> Progress:
    """A bar that redraws itself in place and leaves nothing behind; to be started, or entered."""
    from rich.progress import Progress

    return Progress(*columns, console=out, transient=True)


@contextmanager
def shown_progress(*, counts: bool = True) -> Generator[ShowProgress]:
    """Yields a function of (what is being done, done, total); a total of 0 is unknown.

    Args:
        counts: show how much is done of how much; where that are bytes, a share says more.
    """
    out = errors_console()
    if not redraws(out):
        yield _lines(out.print, counts)
        return
    from rich.progress import BarColumn, MofNCompleteColumn, TextColumn, TimeRemainingColumn

    columns: list[ProgressColumn] = [
        TextColumn("{task.description}"),
        BarColumn(),
        TimeRemainingColumn(),
    ]
    if counts:
        columns.insert(2, MofNCompleteColumn())
    with live_bar(out, *columns) as bar:
        shown = bar.add_task("")
        yield lambda stage, done, total: bar.update(
            shown, description=stage, completed=done, total=total or None
        )


def _lines(say: Callable[[str], None], counts: bool) -> ShowProgress:
    lines = NowAndThen()
    began = monotonic()
    current = ""

    def show(stage: str, done: int, total: int) -> None:
        nonlocal began, current
        if stage != current:
            current, began = stage, monotonic()
        if not lines.due():
            return
        left = (monotonic() - began) * (total - done) / done if done and total else 0.0
        share = f" {done}/{total}" if counts else f": {done / max(total, 1):.0%}"
        say(f"{stage}{share if total else ''}{f', about {left:.0f} s left' if left else ''}")

    return show
