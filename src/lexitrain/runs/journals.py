"""The lines of a run's two journals, metrics.jsonl and events.jsonl, and how they are written and read.

A journal is a file of JSON objects, one a line. A last line that a crash has torn is left out; a broken line anywhere
else is an error, because something else than this package has written there. Numbers that are not finite are null;
version 0.1 wrote them as bare `NaN`, which is read as well.
"""

from __future__ import annotations

import json
import math
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field, fields
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, cast

from lexitrain.errors import RunError
from lexitrain.storage import append_to_journal, json_text, whole_lines, write_file


@dataclass(frozen=True, slots=True)
class Metrics:
    """One line of metrics.jsonl: the steps since the line before it.

    Attributes:
        step: optimizer steps done.
        epoch: passes over the data done, a fraction.
        loss: mean loss of a supervised token, nats.
        learning_rate: of the step, before which it was set.
        grad_norm: global gradient norm of the step before clipping.
        samples_per_second, tokens_per_second: over wall-clock time, `layout_tokens` being counted.
        supervised_tokens, layout_tokens: sums over the line's steps.
        data_wait_seconds: time the device waited for samples and layouts.
        memory_gb: peak so far, in 10^9 bytes: of the GPU's allocator, or of the process on a CPU.
        validation_loss: mean loss of a supervised token of the validation samples, where measured at this step. One
            that is not a number (NaN) is null in the file, and None where the file is read.
        validation_losses: the same of each task, by short name; None where it was not measured.
        slowest_step_seconds: the longest of the line's steps.
        cpu_seconds: processor time, within the steps, of the thread that trains.
        cpu_wait_seconds: how long that thread could have gone on and no processor was free for it; None where the
            system does not tell (other than Linux).
        validation_seconds: that the validation at this step took.

    The last four are None in what older versions wrote.
    """

    step: int
    epoch: float
    loss: float
    learning_rate: float
    grad_norm: float
    samples_per_second: float
    tokens_per_second: float
    supervised_tokens: int
    layout_tokens: int
    data_wait_seconds: float
    memory_gb: float
    validation_loss: float | None = None
    validation_losses: Mapping[str, float] | None = None
    slowest_step_seconds: float | None = None
    cpu_seconds: float | None = None
    cpu_wait_seconds: float | None = None
    validation_seconds: float | None = None


@dataclass(frozen=True, slots=True)
class Event:
    """One line of events.jsonl.

    Attributes:
        event: planned, started, resumed, rescued, checkpoint, rung, signal, stopped, mirror, mirror_wait, tracker,
            warning, environment, nan, validation_nan, broken, accepted or finished.
        step: optimizer steps done when it happened.
        time: UTC, ISO 8601.
        details: whatever tells the reader more.
    """

    event: str
    step: int
    time: str
    details: dict[str, Any] = field(default_factory=dict[str, Any])


#: What a line must have: key -> JSON types.
_Required = Mapping[str, tuple[type, ...]]

_COUNTS = {"step", "supervised_tokens", "layout_tokens"}
_METRICS: _Required = {
    each.name: (int, float) if each.name in _COUNTS else (int, float, type(None))
    for each in fields(Metrics)
}
_TIMES = ("slowest_step_seconds", "cpu_seconds", "cpu_wait_seconds", "validation_seconds")
_OPTIONAL = {"validation_loss", "validation_losses", *_TIMES}
MEASURED = {"samples_per_second", "tokens_per_second", "data_wait_seconds", "memory_gb", *_TIMES}
"""What differs between the lines of two runs that are alike: times, and the memory of the process."""
_REQUIRED_METRICS: _Required = {k: v for k, v in _METRICS.items() if k not in _OPTIONAL}
_REQUIRED_EVENT: _Required = {"event": (str,), "step": (int,), "time": (str,)}


def read_metrics(path: Path) -> list[Metrics]:
    """All lines, oldest first. Raises RunError for a broken line; a torn last one is left out."""
    return [
        # Keys that another version has written are passed over.
        Metrics(**{key: _number(key, value) for key, value in line.items() if key in _METRICS})
        for line in _read_lines(path, _REQUIRED_METRICS)
    ]


def _number(key: str, value: Any) -> Any:
    """A number of a metrics line. One that is not finite: None for the validation loss, else NaN; left out of those by
    task."""
    if key == "validation_losses":
        losses = cast("dict[str, Any]", value) if isinstance(value, dict) else {}
        return {
            task: loss for task, loss in losses.items() if isinstance(loss, int | float)
        } or None
    try:
        known = isinstance(value, int | float) and math.isfinite(value)
    except OverflowError:  # digits without end, by something else than this package
        known = False
    return value if known else None if key in _OPTIONAL else math.nan


def append_metrics(path: Path, metrics: Metrics) -> None:
    """Append one line, durably. Raises OSError: no space, and so on."""
    line = asdict(metrics)
    for name in _OPTIONAL:
        if line[name] is None:
            del line[name]
    append_to_journal(path, _encode(line))


def cut_metrics(path: Path, after_step: int) -> None:
    """Drop the lines of steps after `after_step`. Raises RunError for a broken line."""
    if not path.exists():
        return
    lines = _read_lines(path, {"step": (int,)})
    content = b"".join(_encode(line) for line in lines if line["step"] <= after_step)
    if content != path.read_bytes():
        write_file(path, content)


def read_events(path: Path) -> list[Event]:
    """All events, oldest first. Raises RunError for a broken line; a torn last one is left out."""
    return [
        Event(
            line["event"],
            line["step"],
            line["time"],
            {key: value for key, value in line.items() if key not in _REQUIRED_EVENT},
        )
        for line in _read_lines(path, _REQUIRED_EVENT)
    ]


def event_now(event: str, step: int, details: Mapping[str, Any]) -> Event:
    """An event that happens at this moment."""
    time = datetime.now(UTC).isoformat(timespec="milliseconds")
    return Event(event, step, time, dict(details))


def append_event(path: Path, event: Event) -> None:
    """Append one event, durably. Raises OSError: no space, and so on."""
    line = {"event": event.event, "step": event.step, "time": event.time, **event.details}
    append_to_journal(path, _encode(line))


def training_seconds(events: Sequence[Event]) -> float:
    """Wall-clock seconds from the start of each session to the last thing that was noted in it."""
    total, begun, last = 0.0, None, None
    for event in events:
        try:
            now = datetime.fromisoformat(event.time).timestamp()
        except ValueError:  # written by something else
            continue
        if event.event in {"started", "resumed"}:
            total += last - begun if begun is not None and last is not None else 0.0
            begun = now
        last = now
    return total + (last - begun if begun is not None and last is not None else 0.0)


def _encode(line: Mapping[str, Any]) -> bytes:
    return (json_text(line) + "\n").encode()


def _read_lines(path: Path, required: _Required) -> list[dict[str, Any]]:
    """The journal's objects. Raises RunError for a broken line that is not the torn last one."""
    lines: list[dict[str, Any]] = []
    for number, raw in enumerate(whole_lines(path), start=1):
        try:
            line = json.loads(raw, parse_constant=lambda _: None)
        except (ValueError, RecursionError) as error:
            raise RunError(f"Not valid JSON: {error}.", where=f"{path}:{number}") from error
        if not isinstance(line, dict) or not all(
            key in line and isinstance(line[key], kinds) for key, kinds in required.items()
        ):
            raise RunError("This is not a line of this journal.", where=f"{path}:{number}")
        lines.append(line)  # pyright: ignore[reportUnknownArgumentType]
    return lines
