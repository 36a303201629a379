"""How a training run looks while it goes: a live bar on a terminal, a line now and then elsewhere.

Both go to standard error, so that standard output holds the result alone.
"""

from __future__ import annotations

import sys
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Any, Self

from lexitrain.cli.terminal.console import errors_console
from lexitrain.cli.terminal.progress import NowAndThen, live_bar

if TYPE_CHECKING:
    from lexitrain import Event, Progress

_SECONDS_BETWEEN_LINES = 15.0


class TrainingProgress:
    """Shows what `train` tells its observer."""

    def __init__(self) -> None:
        self._out = errors_console()
        self._live = sys.stderr.isatty()
        self._bar: Any = None
        self._task: Any = None
        self._lines = NowAndThen(_SECONDS_BETWEEN_LINES)
        self._begun = False

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *exception: object) -> None:
        self._end_bar()

    def stage(self, text: str) -> None:
        """A part of the work begins."""
        from rich.markup import escape

        if text != "validating":
            self._out.print(f"[dim]{escape(text)} …[/]", soft_wrap=True)
        elif self._bar is not None:
            self._bar.update(self._task, numbers="validating")

    def progress(self, progress: Progress) -> None:
        """A step is done."""
        if self._live:
            self._show_bar(progress)
            return
        last = progress.step == progress.total_steps
        if self._lines.due(at_once=last or not self._begun):
            self._begun = True
            self._out.print(
                f"step {progress.step}/{progress.total_steps}  epoch {progress.epoch:.2f}  "
                f"{_numbers(progress)}  {_time(progress.seconds_left)} left"
            )

    def event(self, event: Event) -> None:
        """Something was written to events.jsonl."""
        text = _told(event)
        if text:
            self._out.print(text, soft_wrap=True)
        if event.event in {"finished", "stopped"}:
            self._end_bar()

    def _show_bar(self, progress: Progress) -> None:
        if self._bar is None:
            from rich.progress import BarColumn, TextColumn

            self._bar = live_bar(
                self._out,
                BarColumn(bar_width=16),
                TextColumn("{task.completed:.0f}/{task.total:.0f}"),
                TextColumn("{task.fields[numbers]}"),
                TextColumn("{task.fields[left]} left"),
            )
            self._task = self._bar.add_task("", total=progress.total_steps, numbers="", left="")
            self._bar.start()
        self._bar.update(
            self._task,
            completed=progress.step,
            total=progress.total_steps,
            numbers=_numbers(progress),
            left=_time(progress.seconds_left),
        )

    def _end_bar(self) -> None:
        if self._bar is not None:
            self._bar.stop()
            self._bar = None


def _numbers(progress: Progress) -> str:
    validation = "" if progress.validation_loss is None else f"  val {progress.validation_loss:.3f}"
    return f"loss {progress.loss:.3f}{validation}  {progress.tokens_per_second:,.0f} tokens/s"


def _time(seconds: float | None) -> str:
    if seconds is None:
        return "?"
    minutes, rest = divmod(round(seconds), 60)
    hours, minutes = divmod(minutes, 60)
    return f"{hours} h {minutes:02d} min" if hours else f"{minutes} min {rest:02d} s"


def _told(event: Event) -> str | None:
    """One line for an event that a user wants to see, or None."""
    from rich.markup import escape

    tell = _LINES.get(event.event)
    if tell is None:
        return None
    text = tell(event.details)
    warning = event.event not in {"planned", "started", "resumed"}
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
    unfit = f"; {skipped} records are left out" if skipped else ""
    reasons: dict[str, int] = details.get("unfit") or {}
    unfit += "".join(f" ({count}: {reason.rstrip('.')})" for reason, count in reasons.items())
    return f"{details['total_steps']} steps, {details['samples_per_epoch']} samples an epoch{unfit}{loss}"


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
        f"mirror: {details['problem']}" if details["problem"] else "mirror: up to date again"
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
