"""The state of a run while it trains, as one value: from what training tells its observer, or from the run's files.

Reading the files takes no lock and writes nothing, so a run can be watched from another process, another cell of a
notebook, or another machine that has mounted its folder.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any, Protocol

from lexitrain.errors import RunError
from lexitrain.runs import Run, best_validation, lies_in_mirror, state_of_run
from lexitrain.storage import is_held_here, user_path
from lexitrain.watching.time_left import TimeLeft, planned_left, time_left, with_planned_band

if TYPE_CHECKING:
    from lexitrain.recipe import Recipe
    from lexitrain.runs import Event, Metrics

_RECENT_LINES = 20


class Step(Protocol):
    """What training tells after a step; `lexitrain.Progress` is one."""

    @property
    def step(self) -> int: ...
    @property
    def total_steps(self) -> int: ...
    @property
    def epoch(self) -> float: ...
    @property
    def loss(self) -> float: ...
    @property
    def validation_loss(self) -> float | None: ...
    @property
    def tokens_per_second(self) -> float: ...
    @property
    def samples_per_second(self) -> float: ...
    @property
    def data_wait(self) -> float: ...
    @property
    def memory_gb(self) -> float | None: ...
    @property
    def left(self) -> TimeLeft | None: ...
    @property
    def seconds_left(self) -> float | None: ...


@dataclass(frozen=True, slots=True)
class LiveRun:
    """How a run stands.

    Attributes:
        name: of its folder.
        state: running, finished, stopped, interrupted, or copy: one in a mirror, which says nothing of the present.
        step, total_steps: optimizer steps done and planned.
        epoch: passes over the data done, a fraction.
        loss, validation_loss, best_validation_loss: nats a supervised token.
        samples_per_second, tokens_per_second: of the steps alone.
        data_wait: share of the steps' time that was spent waiting for data, 0 to 1.
        memory_gb: peak so far, 10^9 bytes: of the GPU's allocator, or of the process on a CPU.
        planned_gb, limit_gb: the peak that was planned, and what the plan could count on.
        left: how long it will still take.
        checkpoint_step: of the newest checkpoint.
        checkpoint_time: when it was written, Unix time.
        mirror: state of the mirror in a few words; empty where there is none.
        trackers: kind -> `on`, or why it is off.
        here: the run trains on this machine.
        hours: the plan's, `low`, `expected`, `high`.
    """

    name: str = ""
    state: str = "running"
    step: int = 0
    total_steps: int | None = None
    epoch: float | None = None
    loss: float | None = None
    validation_loss: float | None = None
    best_validation_loss: float | None = None
    samples_per_second: float | None = None
    tokens_per_second: float | None = None
    data_wait: float | None = None
    memory_gb: float | None = None
    planned_gb: float | None = None
    limit_gb: float | None = None
    left: TimeLeft | None = None
    checkpoint_step: int | None = None
    checkpoint_time: float | None = None
    mirror: str = ""
    trackers: Mapping[str, str] = field(default_factory=dict[str, str])
    here: bool = False
    hours: Mapping[str, float] = field(default_factory=dict[str, float])

    @property
    def ended(self) -> bool:
        """Nothing more is to come."""
        return self.state not in {"running", "copy"}

    def after_step(self, step: Step) -> LiveRun:
        """The state after a step of training in this process."""
        steps = step.total_steps - step.step
        planned = planned_left(self.hours, steps, step.total_steps)
        return replace(
            self,
            step=step.step,
            total_steps=step.total_steps,
            epoch=step.epoch,
            loss=_finite(step.loss),
            validation_loss=_finite(step.validation_loss),
            best_validation_loss=_lower(self.best_validation_loss, step.validation_loss),
            samples_per_second=step.samples_per_second or None,
            tokens_per_second=step.tokens_per_second or None,
            data_wait=step.data_wait,
            memory_gb=step.memory_gb,
            left=step.left
            or (
                planned
                if step.seconds_left is None
                else with_planned_band(step.seconds_left, planned)
            ),
        )

    def after_event(self, event: Event) -> LiveRun:
        """The state after an event."""
        after = _AFTER.get(event.event)
        return self if after is None else replace(self, **after(self, event))

    def to_json(self) -> dict[str, Any]:
        """As JSON."""
        left = self.left
        return {
            "run": self.name,
            "state": self.state,
            "step": self.step,
            "total_steps": self.total_steps,
            "epoch": self.epoch,
            "loss": self.loss,
            "validation_loss": self.validation_loss,
            "best_validation_loss": self.best_validation_loss,
            "samples_per_second": self.samples_per_second,
            "tokens_per_second": self.tokens_per_second,
            "data_wait": self.data_wait,
            "memory_gb": {
                "peak": self.memory_gb,
                "planned": self.planned_gb,
                "limit": self.limit_gb,
            },
            "seconds_left": None
            if left is None
            else {"low": left.low, "expected": left.expected, "high": left.high},
            "checkpoint": {"step": self.checkpoint_step, "time": self.checkpoint_time},
            "mirror": self.mirror,
            "trackers": dict(self.trackers),
        }


def _planned(_: LiveRun, event: Event) -> dict[str, Any]:
    memory = _numbers(event.details.get("memory_gb"))
    return {
        "planned_gb": memory.get("peak"),
        "limit_gb": memory.get("limit"),
        "hours": _numbers(event.details.get("hours")),
    }


def _begun(live: LiveRun, event: Event) -> dict[str, Any]:
    before = _finite(event.details.get("validation_loss"))
    return {
        "state": "running",
        "total_steps": _count(event.details.get("total_steps")) or live.total_steps,
        "best_validation_loss": _lower(live.best_validation_loss, before),
        "trackers": {},
    }


def _saved(live: LiveRun, event: Event) -> dict[str, Any]:
    follows = "mirror_seconds" in event.details and not live.mirror
    return {
        "checkpoint_step": event.step,
        "checkpoint_time": _unix(event.time),
        "mirror": "follows" if follows else live.mirror,
    }


def _mirrored(_: LiveRun, event: Event) -> dict[str, Any]:
    problem = event.details.get("problem")
    return {"mirror": f"behind: {problem}" if problem else "follows"}


def _tracked(live: LiveRun, event: Event) -> dict[str, Any]:
    name = str(event.details.get("tracker"))
    return {"trackers": {**live.trackers, name: str(event.details.get("problem") or "on")}}


def _ended(_: LiveRun, event: Event) -> dict[str, Any]:
    return {"state": event.event}


_AFTER: Mapping[str, Callable[[LiveRun, Event], dict[str, Any]]] = {
    "planned": _planned,
    "started": _begun,
    "resumed": _begun,
    "checkpoint": _saved,
    "mirror": _mirrored,
    "tracker": _tracked,
    "finished": _ended,
    "stopped": _ended,
}
"""What an event changes."""


def live_run(folder: str | Path) -> LiveRun:
    """How the run in a folder stands, by its files.

    Raises:
        RunError: there is no run, or a journal of it is broken in another place than its last line.
    """
    run = Run(user_path(folder))
    if not run.path.is_dir():
        raise RunError("There is no such folder.", where=run.path, fix="Give the folder of a run.")
    recipe, events, lines = run.read_recipe(), run.events(), run.metrics()
    live = LiveRun(name=run.path.resolve().name, here=is_held_here(run.path))
    for event in events:
        live = live.after_event(event)
    copied = not run.is_locked() and lies_in_mirror(run)
    state = state_of_run(run, events)
    live = replace(
        live,
        state="copy" if copied and state == "interrupted" else state,
        step=max([each.step for each in (*lines, *events[-1:])], default=0),
        mirror=live.mirror or ("follows" if recipe.checkpoints.mirror_folder is not None else ""),
        best_validation_loss=best_validation(lines, events),
    )
    return _with_lines(live, recipe, lines, events) if lines else live


def _with_lines(
    live: LiveRun, recipe: Recipe, lines: Sequence[Metrics], events: Sequence[Event]
) -> LiveRun:
    last, seconds = lines[-1], _step_seconds(lines)
    measured = [each.validation_loss for each in lines if each.validation_loss is not None]
    spent = _ratio(last.layout_tokens, last.tokens_per_second)
    left = None
    if live.total_steps is not None and not live.ended:
        steps = live.total_steps - live.step
        left = time_left(
            seconds,
            steps,
            _besides(recipe, lines, events, max(steps, 0)),
            planned_left(live.hours, steps, live.total_steps),
        )
    return replace(
        live,
        epoch=_finite(last.epoch),
        loss=_finite(last.loss),
        validation_loss=measured[-1] if measured else None,
        samples_per_second=_finite(last.samples_per_second),
        tokens_per_second=_finite(last.tokens_per_second),
        data_wait=_ratio(last.data_wait_seconds, spent),
        memory_gb=_finite(last.memory_gb),
        left=left,
    )


def _step_seconds(lines: Sequence[Metrics]) -> list[float]:
    """Seconds a step of each of the last lines, as far as they say so."""
    found: list[float] = []
    before = [0, *(line.step for line in lines)]
    for line, last in list(zip(lines, before, strict=False))[-_RECENT_LINES:]:
        seconds = _ratio(line.layout_tokens, line.tokens_per_second)
        if seconds is not None and line.step > last:
            found.append(seconds / (line.step - last))
    return found


def _besides(
    recipe: Recipe, lines: Sequence[Metrics], events: Sequence[Event], steps: int
) -> float:
    """Seconds of the validations and checkpoints that are left, each as long as those before."""
    validations = [each.validation_seconds for each in lines if each.validation_seconds is not None]
    saved = [
        float(each.details["loop_seconds"])
        for each in events
        if each.event == "checkpoint" and isinstance(each.details.get("loop_seconds"), int | float)
    ]
    measured = math.ceil(steps / recipe.validation_every)
    return measured * _mean(validations) + math.ceil(steps / recipe.checkpoints.every) * _mean(
        saved
    )


def _mean(values: Sequence[float]) -> float:
    return sum(values) / len(values) if values else 0.0


def _ratio(part: float, whole: float | None) -> float | None:
    """A quotient; None where one of the two is no number above zero."""
    if whole is None or not math.isfinite(whole) or whole <= 0 or not math.isfinite(part):
        return None
    return part / whole


def _finite(value: Any) -> float | None:
    known = isinstance(value, int | float) and not isinstance(value, bool)
    return float(value) if known and math.isfinite(value) else None


def _lower(before: float | None, now: float | None) -> float | None:
    known = [each for each in (before, _finite(now)) if each is not None]
    return min(known, default=None)


def _count(value: Any) -> int | None:
    return value if isinstance(value, int) and not isinstance(value, bool) else None


def _numbers(value: Any) -> dict[str, float]:
    """The finite numbers of a JSON object."""
    if not isinstance(value, dict):
        return {}
    found = {str(key): _finite(each) for key, each in value.items()}  # pyright: ignore[reportUnknownVariableType, reportUnknownArgumentType]
    return {key: each for key, each in found.items() if each is not None}


def _unix(time: str) -> float | None:
    try:
        moment = datetime.fromisoformat(time)
    except ValueError:
        return None
    return (moment if moment.tzinfo else moment.replace(tzinfo=UTC)).timestamp()
