"""How a watched run looks: redrawn in place on a terminal, a line now and then elsewhere, and once more at its end."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any, Self

from lexitrain.cli.terminal.gpu_use import GpuUse
from lexitrain.cli.terminal.progress import NowAndThen, redraws

if TYPE_CHECKING:
    from rich.console import Console

    from lexitrain import LiveRun

_SECONDS_BETWEEN_LINES = 15.0


class Watched:
    """Shows a run as often as it is told to.

    Args:
        out: where.
        run: the run's folder.
    """

    def __init__(self, out: Console, run: Path) -> None:
        self._out = out
        self._run = run
        self._lines = NowAndThen(_SECONDS_BETWEEN_LINES)
        self._drawn: Any = None
        self._view: Any = None
        self._gpu: GpuUse | None = None
        self._begun = False

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *exception: object) -> None:
        if self._gpu is not None:
            self._gpu.end()
        if self._drawn is not None:
            self._drawn.stop()
            self._out.print(self._view)

    def show(self, live: LiveRun) -> None:
        """The run as it stands now."""
        from lexitrain.cli.views.live import LiveView, plain_line

        if live.here and self._gpu is None:
            self._gpu = GpuUse()
        gpu = self._gpu.percent if self._gpu is not None and live.here else ()
        if not redraws(self._out):
            if self._lines.due(at_once=live.ended or not self._begun):
                self._begun = True
                state = "" if live.state == "running" else f"  {live.state}"
                self._out.print(plain_line(live, gpu) + state, markup=False, soft_wrap=True)
            return
        if self._drawn is None:
            from rich.live import Live

            self._view = LiveView(live)
            self._drawn = Live(self._view, console=self._out, auto_refresh=False, transient=True)
            self._drawn.start()
        self._view.live, self._view.gpu = live, gpu
        self._drawn.refresh()
