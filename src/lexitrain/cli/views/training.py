"""How a training run looks while it goes: a few live lines on a terminal, a line now and then elsewhere.

Both go to standard error, so that standard output holds the result alone.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Any, Self

from lexitrain.cli.terminal.console import errors_console
from lexitrain.cli.terminal.gpu_use import GpuUse
from lexitrain.cli.terminal.progress import NowAndThen, redraws
from lexitrain.errors import number_of

if TYPE_CHECKING:
    from lexitrain import Event, Progress

_SECONDS_BETWEEN_LINES = 15.0


class TrainingProgress:
    """Shows what `train` tells its observer."""

    def __init__(self) -> None:
        from lexitrain import LiveRun

        self._out = errors_console()
        self._redraws = redraws(self._out)
        self._live = LiveRun()
        self._view: Any = None
        self._drawn: Any = None
        self._gpu: GpuUse | None = None
        self._lines = NowAndThen(_SECONDS_BETWEEN_LINES)
        self._begun = False

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *exception: object) -> None:
        self._end_view()
        if self._gpu is not None:
            self._gpu.end()

    def stage(self, text: str) -> None:
        """A part of the work begins."""
        from rich.markup import escape

        if text != "validating":
            self._out.print(f"[dim]{escape(text)} …[/]", soft_wrap=True)
        elif self._view is not None:
            self._view.note = "validating"

    def progress(self, progress: Progress) -> None:
        """A step is done."""
        self._live = self._live.after_step(progress)
        if self._gpu is None:
            self._gpu = GpuUse()
        if self._redraws:
            self._draw()
            return
        last = progress.step == progress.total_steps
        if self._lines.due(at_once=last or not self._begun):
            from lexitrain.cli.views.live import plain_line

            self._begun = True
            self._out.print(plain_line(self._live, self._gpu.percent), markup=False, soft_wrap=True)

    def event(self, event: Event) -> None:
        """Something was written to events.jsonl."""
        self._live = self._live.after_event(event)
        text = _told(event)
        if text:
            self._out.print(text, soft_wrap=True)
        if event.event in {"finished", "stopped"}:
            self._end_view()

    def _draw(self) -> None:
        from lexitrain.cli.views.live import LiveView

        if self._drawn is None:
            from rich.live import Live

            self._view = LiveView(self._live)
            self._drawn = Live(self._view, console=self._out, refresh_per_second=4, transient=True)
            self._drawn.start()
        self._view.live, self._view.note = self._live, ""
        self._view.gpu = () if self._gpu is None else self._gpu.percent

    def _end_view(self) -> None:
        if self._drawn is not None:
            self._drawn.stop()
            self._drawn = None


def _told(event: Event) -> str | None:
    """One line for an event that a user wants to see, or None."""
    from rich.markup import escape

    tell = _LINES.get(event.event)
    if tell is None:
        return None
    text = tell(event.details)
    warning = event.event not in {"planned", "started", "resumed"} and "place" not in event.details
    return f"[yellow]{escape(text)}[/]" if warning else escape(text)


def _planned(details: dict[str, Any]) -> str:
    if "not_foreseen" in details:
        return f"not planned: {details['not_foreseen']}"
    memory = details["memory_gb"]
    given_up = [
        f"{field}={value}"
        for field, value in details["choices"].items()
        if value not in {"none", "never", "auto"}
    ]
    fits = "" if details["fits"] else ", which is more than there is"
    return (
        f"foreseen: {memory['peak']:.2f} GB of {memory['limit']:.2f}{fits}, {details['hours']['expected']:.2g} h "
        f"({details['gpu']}, {details['basis']})" + "".join(f"; {each}" for each in given_up)
    )


def _started(details: dict[str, Any]) -> str:
    before = details["validation_loss"]
    loss = "" if before is None else f"; validation loss {before:.4f} before training"
    skipped = sum(details["skipped"].values())
    unfit = f"; {number_of(skipped, 'record is', 'records are')} left out" if skipped else ""
    reasons: dict[str, int] = details.get("unfit") or {}
    unfit += "".join(f" ({count}: {reason.rstrip('.')})" for reason, count in reasons.items())
    return (
        f"{number_of(details['total_steps'], 'step')}, {number_of(details['samples_per_epoch'], 'sample')} "
        f"an epoch{unfit}{loss}"
    )


def _resumed(details: dict[str, Any]) -> str:
    source = details["checkpoint"]
    return f"going on from {source}" if source else "no usable checkpoint: starting from step 0"


def _rung(details: dict[str, Any]) -> str:
    more = [f"{name} {details[name]}" for name in _OF_A_RUNG if name in details]
    return (
        f"memory ran out ({details['cause']}): rung {details['rung']} of 4"
        f"{', ' if more else ''}{', '.join(more)}: {details['means']}"
    )


def _nan(details: dict[str, Any]) -> str:
    where = (
        ""
        if details["gone_back_to"] is None
        else (
            f"; going back to step {details['gone_back_to']}, step {details['left_out']} is left out"
        )
    )
    rows = _rows(details["suspects"] or details["rows"])
    return f"the {details['what']} is {details['value']}{where} ({rows})"


def _validation_nan(details: dict[str, Any]) -> str:
    from lexitrain import VALIDATION, file_name

    return (
        f"the validation loss is {details['value']}: it is never the best, and no adapter is chosen by it. "
        f"Look at the records of {file_name(VALIDATION)}; model.precision=fp32 with --accept-changes often cures it"
    )


def _spike(details: dict[str, Any]) -> str:
    return f"the loss jumped to {details['loss']:.3f} ({_rows(details['rows'])})"


def _rows(rows: Sequence[int]) -> str:
    from lexitrain import TRAIN, file_name

    return f"rows {', '.join(map(str, rows))} of {file_name(TRAIN)}"


def _environment(details: dict[str, Any]) -> str:
    inexact = ", ".join(details["no_longer_exact"])
    bits = f"; the last bits may differ from now on ({inexact})" if inexact else ""
    return f"not as at the start: {'; '.join(details['changes'])}{bits}"


_OF_A_RUNG = ("token_budget", "max_length", "shortened", "still_longer")

_LINES: dict[str, Callable[[dict[str, Any]], str]] = {
    "planned": _planned,
    "started": _started,
    "resumed": _resumed,
    "broken": lambda details: f"{details['checkpoint']} cannot be used: {details['reason']}",
    "mirror": lambda details: (
        f"mirror: {details['problem']}"
        if details["problem"]
        else f"mirror: {details.get('back', '')} is up to date"
    ),
    "tracker": lambda details: (
        f"{details['tracker']}: switched off, {details['problem']}"
        if "problem" in details
        else f"{details['tracker']}: {details.get('place', 'on')}"
    ),
    "rescued": lambda details: f"brought back from the mirror {details['mirror']}",
    "warning": lambda details: f"{details['what']} {details['fix']}",
    "rung": _rung,
    "out_of_memory": lambda details: f"memory ran out ({details['problem']}): {details['action']}",
    "nan": _nan,
    "validation_nan": _validation_nan,
    "spike": _spike,
    "worker": lambda details: f"a background worker failed ({details['problem']}): done again here",
    "environment": _environment,
    "accepted": lambda details: (
        "going on with changes: "
        + "; ".join(each for changes in details.values() for each in changes)
    ),
    "signal": lambda details: f"{details['signal']} received; the step at hand is saved",
}
