"""What a tracker is told of a run, all of it read from the run's own files: never a text of a record.

metrics.jsonl owns the numbers. A tracker is brought up to date with it: what it lacks is told, what it has is not told
again. Steps that a resumed run does once more come out alike as a rule, and their lines are then the ones that the
tracker has already. Where they do not (a step was left out, a change was accepted), the tracker begins anew and is told
all of it.
"""

from __future__ import annotations

import json
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, fields
from typing import TYPE_CHECKING, Any, Protocol, cast

from lexitrain.errors import InputError
from lexitrain.recipe import field_value, recipe_fields
from lexitrain.runs import Metrics

if TYPE_CHECKING:
    from lexitrain.recipe import Recipe
    from lexitrain.runs import Event, Run

Losses = tuple[float | None, float | None]
"""Training loss and validation loss of a line, nats a token; None where it has none."""

_DETAILS: Mapping[str, tuple[str, ...]] = {
    "started": ("total_steps", "steps_per_epoch", "samples_per_epoch", "validation_loss"),
    "resumed": ("checkpoint", "total_steps"),
    "rescued": (),
    "checkpoint": ("validation_loss", "bytes", "seconds"),
    "rung": ("rung", "means", "token_budget", "max_length", "shortened"),
    "nan": ("what", "value", "gone_back_to", "left_out"),
    "validation_nan": ("value",),
    "spike": ("loss", "threshold"),
    "accepted": (),
    "broken": ("checkpoint",),
    "signal": ("signal",),
    "stopped": ("reason", "validation_loss"),
    "finished": ("reason", "total_steps", "best_step", "best_loss", "adapter", "curve", "seconds"),
}
"""The events that are told, and which of their details: none that could hold a text of the data or a folder's name."""


@dataclass(frozen=True, slots=True)
class Point:
    """The numbers of one line.

    Attributes:
        step: optimizer steps done.
        values: name -> number, finite.
        losses: by which the line is known again.
    """

    step: int
    values: Mapping[str, float]
    losses: Losses


@dataclass(frozen=True, slots=True)
class Told:
    """An event as it is told.

    Attributes:
        name: of the event.
        step: optimizer steps done.
        seconds: when it happened, Unix time.
        text: its details, in one line.
        number: its place among those of the run that are told, from 0.
    """

    name: str
    step: int
    seconds: float
    text: str
    number: int


class Tracker(Protocol):
    """One tracker, open for one run. What it raises switches it off."""

    place: str
    """Where a person finds what it was told."""

    def told(self) -> dict[int, Losses]:
        """The lines that it has from earlier processes, by step."""
        ...

    def start_again(self) -> None:
        """Forget all that was told of the run."""

    def settings(self, values: Mapping[str, str], recipe: str) -> None:
        """Take the recipe: its fields, and its text."""

    def points(self, points: Sequence[Point]) -> None:
        """Take numbers, in the order of their steps."""

    def events(self, events: Sequence[Told]) -> None:
        """Take all events of the run; those that it has are not to be doubled."""

    def scores(self, step: int, values: Mapping[str, float]) -> None:
        """Take all scores of evaluations; those that it has are not to be doubled."""

    def flush(self) -> None:
        """Let what was told reach its place."""

    def finish(self, state: str) -> None:
        """Close: the run is `finished`, `stopped` or `interrupted`."""


class Teller:
    """Brings one tracker up to date with a run's files.

    Args:
        run: whose files are read.
        tracker: that is told.
    """

    def __init__(self, run: Run, tracker: Tracker) -> None:
        self._run = run
        self._tracker = tracker
        self._told = tracker.told()
        self._settings: Mapping[str, str] | None = None
        self._events = -1
        self._scores: Mapping[str, float] = {}

    def catch_up(self, *, last: bool = False) -> None:
        """Tell what the tracker lacks.

        Args:
            last: the run's journals are complete, so that a line which the tracker has and they have not is wrong.

        Raises:
            InputError: a file of the run is broken.
            Exception: whatever the tracker raises.
        """
        points = points_of(self._run.metrics())
        if contradicts(self._told, points, last=last):
            self._tracker.start_again()
            self._told, self._settings, self._events, self._scores = {}, None, -1, {}
        recipe = self._run.read_recipe()
        values = settings_of(recipe)
        if values != self._settings:
            self._tracker.settings(values, self._run.recipe_file.read_text(encoding="utf-8"))
            self._settings = values
        new = [each for each in points if each.step not in self._told]
        if new:
            self._tracker.points(new)
            self._told |= {each.step: each.losses for each in new}
        events = told_events(self._run.events())
        if len(events) != self._events:
            self._tracker.events(events)
            self._events = len(events)
        scores = scores_of(self._run)
        if scores != self._scores:
            self._tracker.scores(points[-1].step if points else 0, scores)
            self._scores = scores
        self._tracker.flush()


def contradicts(told: Mapping[int, Losses], points: Sequence[Point], *, last: bool) -> bool:
    """Whether a tracker has a line that the run has not, or has with other losses.

    Steps beyond the newest line were taken back by a resume and are still to be done again.
    """
    known = {each.step: each.losses for each in points}
    newest = math.inf if last else max(known, default=-1)
    return any(step <= newest and known.get(step) != losses for step, losses in told.items())


def points_of(lines: Sequence[Metrics]) -> list[Point]:
    """Every number of every line; what is not finite has no place in a tracker and is left out."""
    return [Point(line.step, _values(line), losses_of(line)) for line in lines]


def losses_of(line: Metrics) -> Losses:
    """By which a line is known again."""
    return (line.loss if math.isfinite(line.loss) else None, line.validation_loss)


def _values(line: Metrics) -> dict[str, float]:
    values = {
        each.name: getattr(line, each.name) for each in fields(Metrics) if each.name != "step"
    }
    by_task = cast("Mapping[str, float]", values.pop("validation_losses") or {})
    values |= {f"validation_losses/{task}": loss for task, loss in by_task.items()}
    return {name: float(v) for name, v in values.items() if v is not None and math.isfinite(v)}


def settings_of(recipe: Recipe) -> dict[str, str]:
    """Every field of a recipe by its dotted name; the entries of a mapping one by one."""
    found: dict[str, str] = {}
    for dotted, _ in recipe_fields():
        value = field_value(recipe, dotted)
        if isinstance(value, dict) and value:
            entries = cast("dict[str, Any]", value)
            found |= {f"{dotted}.{key}": _text(each) for key, each in entries.items()}
        else:
            found[dotted] = _text(value)
    return found


def _text(value: Any) -> str:
    return value if isinstance(value, str) else json.dumps(value, ensure_ascii=False)


def told_events(events: Sequence[Event]) -> list[Told]:
    """The events that trackers are told, in the order in which they happened."""
    from datetime import datetime

    found: list[Told] = []
    for event in events:
        if event.event not in _DETAILS:
            continue
        try:
            seconds = datetime.fromisoformat(event.time).timestamp()
        except (ValueError, OverflowError):
            seconds = 0.0
        shown = {
            name: event.details[name]
            for name in _DETAILS[event.event]
            if event.details.get(name) is not None
        }
        text = ", ".join(f"{name} {_text(value)}" for name, value in shown.items())
        found.append(Told(event.event, event.step, seconds, text or event.event, len(found)))
    return found


def scores_of(run: Run) -> dict[str, float]:
    """The scores of the evaluations in the run's folder, as `evaluation/NAME/TASK/SCORE`."""
    found: dict[str, float] = {}
    for path in sorted(run.evaluation.glob("*.json")):
        try:
            tasks = run.read_evaluation(path.stem)["tasks"]
            for task, content in tasks.items():
                for score, each in content["scores"].items():
                    value = each["value"]
                    if isinstance(value, int | float) and math.isfinite(value):
                        found[f"evaluation/{path.stem}/{task}/{score}"] = float(value)
        except (InputError, AttributeError, LookupError, TypeError):
            continue  # written by 0.1.0, or by something else
    return found
