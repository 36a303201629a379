"""A run while it trains, in few lines: the same for `train`, `build` and `watch`, in every width from 20 columns on."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING

from lexitrain.cli.terminal.console import printable

if TYPE_CHECKING:
    from rich.console import Console, ConsoleOptions, RenderResult

    from lexitrain import LiveRun, TimeLeft

_LEAST_BAR = 8
_MOST_BAR = 40
_ASCII = str.maketrans({"–": "-", "…": "~", "·": "?"})


class LiveView:
    """What rich draws of a run; `live` may be replaced between two drawings."""

    def __init__(self, live: LiveRun) -> None:
        self.live = live
        self.note = ""
        self.gpu: tuple[int, ...] = ()

    def __rich_console__(self, console: Console, options: ConsoleOptions) -> RenderResult:
        from rich.text import Text

        for number, line in enumerate(self.lines(options.max_width, ascii_only=options.ascii_only)):
            yield Text(line, style="bold" if number == 0 else "", no_wrap=True, overflow="crop")

    def lines(self, width: int, *, ascii_only: bool = False) -> list[str]:
        """The lines, none wider than `width` cells."""
        from rich.cells import cell_len, set_cell_size

        made = [self._head(width, ascii_only=ascii_only)]
        line = ""
        for item in [*items(self.live, self.gpu), *([self.note] if self.note else [])]:
            part = printable(item)
            joined = f"{line}   {part}" if line else part
            if line and cell_len(joined) > width:
                made.append(line)
                joined = part
            line = joined
        made.append(line)
        fitting = [
            each if cell_len(each) <= width else set_cell_size(each, width - 1) + "…"
            for each in made
            if each
        ]
        if ascii_only:
            fitting = [
                each.translate(_ASCII).encode("ascii", "replace").decode() for each in fitting
            ]
        return fitting

    def _head(self, width: int, *, ascii_only: bool) -> str:
        live = self.live
        count = f"{live.step}/{live.total_steps or '?'}"
        share = 0.0
        if live.total_steps:
            share = min(1.0, max(0.0, live.step / live.total_steps))
            count += f" {share:.0%}"
        if live.epoch is not None:
            count += f"  epoch {live.epoch:.2f}"
        if live.state != "running":
            count += f"  {live.state}"
        room = min(_MOST_BAR, width - len(count) - 2)
        if room < _LEAST_BAR:
            return count
        full = round(share * room)
        done, rest = ("#", "-") if ascii_only else ("━", "╌")
        return f"{done * full}{rest * (room - full)}  {count}"


def items(live: LiveRun, gpu: tuple[int, ...] = ()) -> list[str]:
    """What is known of a run, each in a few words."""
    found = [
        "" if live.loss is None else f"loss {live.loss:.3f}",
        _validation(live),
        "" if live.left is None or live.ended else f"{time_left(live.left)} left",
        "" if live.samples_per_second is None else f"{live.samples_per_second:,.1f} samples/s",
        "" if live.tokens_per_second is None else f"{live.tokens_per_second:,.0f} tokens/s",
        _memory(live),
        "GPU " + ", ".join(f"{each} %" for each in gpu) if gpu else "",
        "" if live.data_wait is None else f"data wait {live.data_wait:.0%}",
        _saved(live),
        f"mirror {live.mirror}" if live.mirror else "",
        *(
            f"{kind} {state if state == 'on' else f'off: {state}'}"
            for kind, state in live.trackers.items()
        ),
    ]
    return [each for each in found if each]


def _validation(live: LiveRun) -> str:
    if live.validation_loss is None:
        return ""
    best = live.best_validation_loss
    beside = "" if best is None or best >= live.validation_loss else f" (best {best:.3f})"
    return f"val {live.validation_loss:.3f}{beside}"


def _memory(live: LiveRun) -> str:
    if live.memory_gb is None:
        return ""
    known = [
        f"{name} {value:.2f}"
        for name, value in (("planned", live.planned_gb), ("of", live.limit_gb))
        if value is not None
    ]
    return f"memory {live.memory_gb:.2f} GB" + (f" ({', '.join(known)})" if known else "")


def _saved(live: LiveRun) -> str:
    if live.checkpoint_step is None:
        return "nothing saved yet"
    if live.checkpoint_time is None:
        return f"saved step {live.checkpoint_step}"
    # A clock may have been set back, and that of another machine may be ahead.
    ago = max(0.0, time.time() - live.checkpoint_time)
    return f"saved step {live.checkpoint_step}, {duration(ago)} ago"


def time_left(left: TimeLeft) -> str:
    """The expected time and its band."""
    if duration(left.low) == duration(left.high):
        return duration(left.expected)
    return f"{duration(left.expected)} ({duration(left.low)} – {duration(left.high)})"


def duration(seconds: float | None) -> str:
    """A length of time as a person says it."""
    if seconds is None or not 0 <= seconds < 1e9:
        return "?"
    minutes, rest = divmod(round(seconds), 60)
    hours, minutes = divmod(minutes, 60)
    if hours:
        return f"{hours} h {minutes:02d} min"
    return f"{minutes} min {rest:02d} s" if minutes else f"{rest} s"


def plain_line(live: LiveRun, gpu: tuple[int, ...] = ()) -> str:
    """One line for a log file."""
    head = f"step {live.step}/{live.total_steps or '?'}"
    epoch = "" if live.epoch is None else f"  epoch {live.epoch:.2f}"
    return printable("  ".join([head + epoch, *items(live, gpu)]))
