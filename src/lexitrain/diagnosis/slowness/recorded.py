"""What a run's own files say of its time: metrics, events, plan, environment. Reads only, in milliseconds.

A line of metrics counts steps, computed tokens and tokens a second, which gives the seconds of its steps. What
checkpoints, validations and the mirror took of the loop stands in lines and events since 0.2.0; of runs from before it
is not known.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from lexitrain.errors import RunError
from lexitrain.planning import planned_cut_cost, with_settings
from lexitrain.runs import Run, list_runs

if TYPE_CHECKING:
    from lexitrain.batching import CutCost
    from lexitrain.recipe import Recipe
    from lexitrain.runs import Event, Metrics


@dataclass(frozen=True, slots=True)
class Stretch:
    """The steps of one line of metrics.

    Attributes:
        steps: how many.
        seconds: that they took, the wait for data included.
        tokens: layout tokens that they computed.
        data_wait: seconds of waiting for samples and layouts.
        cpu_wait: seconds of waiting for a processor; None where it is not known.
    """

    steps: int
    seconds: float
    tokens: int
    data_wait: float
    cpu_wait: float | None

    @property
    def token_seconds(self) -> float:
        """Seconds of a token, the wait for data left out."""
        return (self.seconds - self.data_wait) / max(1, self.tokens)


@dataclass(frozen=True, slots=True)
class Saved:
    """A checkpoint.

    Attributes:
        loop: seconds for which the loop stood still; None where it is not known.
        writing: seconds of writing behind the loop, or in it.
        mirror: seconds until it would be in the mirror.
    """

    loop: float | None
    writing: float
    mirror: float


@dataclass(frozen=True)
class Recorded:
    """The time of a run as far as it has come.

    Attributes:
        run: the run.
        recipe: with the automatic settings as they were decided.
        state: finished, running, stopped, interrupted or broken.
        total_steps: of the whole run.
        stretches: oldest first.
        saved: checkpoints, oldest first.
        validations: seconds of each validation that is known.
        mirror_waits: seconds of waiting for the mirror at the end of each call.
        device: name and memory of the GPU, or `cpu`; empty where it is not known.
        threads: that PyTorch computed with; None where it is not known.
        cores: of the machine.
        dtype: in which was computed, as PyTorch calls it.
        planned_step: seconds of a step as planned.
        kinds: kind of work -> seconds a step, as planned.
        cut_cost: what a cut costs there, as planned.
        complete: whether times of checkpoints and validations were recorded.
    """

    run: Run
    recipe: Recipe
    state: str
    total_steps: int
    stretches: Sequence[Stretch]
    saved: Sequence[Saved]
    validations: Sequence[float]
    mirror_waits: Sequence[float]
    device: str
    threads: int | None
    cores: int | None
    dtype: str
    planned_step: float | None
    kinds: Mapping[str, float]
    cut_cost: CutCost | None
    complete: bool

    @property
    def on_cpu(self) -> bool:
        """Whether it was trained on a processor."""
        return self.device == "cpu"

    @property
    def launches(self) -> float:
        """Seconds a step of starting operations, as planned."""
        return self.kinds.get("launches", 0.0)

    @property
    def arithmetic(self) -> float:
        """Seconds a step of all other work, as planned."""
        return sum(each for kind, each in self.kinds.items() if kind != "launches")

    @property
    def steps(self) -> int:
        """Steps of all lines."""
        return sum(each.steps for each in self.stretches)

    @property
    def seconds(self) -> float:
        """Seconds of all steps."""
        return sum(each.seconds for each in self.stretches)

    @property
    def step_seconds(self) -> float:
        """Mean of a step, the wait for data included."""
        return self.seconds / self.steps

    @property
    def step_tokens(self) -> float:
        """Mean layout tokens of a step."""
        return sum(each.tokens for each in self.stretches) / self.steps

    @property
    def data_wait(self) -> float:
        """Seconds a step."""
        return sum(each.data_wait for each in self.stretches) / self.steps

    @property
    def cpu_wait(self) -> float | None:
        """Seconds a step of waiting for a processor, by the lines that know it; None where none does."""
        known = [each for each in self.stretches if each.cpu_wait is not None]
        steps = sum(each.steps for each in known)
        return sum(each.cpu_wait or 0.0 for each in known) / steps if steps else None

    @property
    def loop_seconds(self) -> float:
        """Seconds a step for which the loop stood still because of checkpoints."""
        return sum(each.loop or 0.0 for each in self.saved) / self.steps

    @property
    def writing_share(self) -> float:
        """Share of the steps' time in which a checkpoint was being written."""
        return sum(each.writing for each in self.saved) / self.seconds

    @property
    def validation_seconds(self) -> float:
        """Seconds a step of validations."""
        return sum(self.validations) / self.steps

    @property
    def mirror_wait(self) -> float:
        """Seconds of waiting for the mirror at the ends of calls; of a run that has none yet, what it would be now."""
        if self.mirror_waits or not self.saved or self.state == "finished":
            return sum(self.mirror_waits)
        return self.saved[-1].mirror

    @property
    def whole_seconds(self) -> float:
        """Of the whole run, at the speed so far."""
        step = self.step_seconds + self.loop_seconds + self.validation_seconds
        return step * self.total_steps + self.mirror_wait


def recorded(run: Run) -> Recorded:
    """What is recorded of a run.

    Raises:
        RunError: there is no run, it has no step yet, or its files cannot be read.
    """
    if not run.exists():
        parts = (
            []
            if not run.path.is_dir()
            else [each for each in run.path.iterdir() if Run(each).exists()]
        )
        names = ", ".join(sorted(each.name for each in parts))
        raise RunError(
            "This folder holds no run of its own." if parts else "There is no run here.",
            where=run.path,
            fix=f"Name one of the runs in it: {names}."
            if parts
            else "`lexitrain runs DIR` lists runs.",
        )
    events, lines = run.events(), run.metrics()
    if not _stretches(lines):
        raise RunError(
            "No line of metrics is written yet, so that there is no time to explain.",
            where=run.metrics_file,
            fix="Wait for `log_every` steps, or set it to less.",
        )
    plan = run.read_plan() if run.plan_file.is_file() else {}
    environment = run.read_environment() if run.environment_file.is_file() else {}
    try:
        return _put_together(run, lines, events, environment, plan)
    except (AttributeError, KeyError, TypeError, ValueError) as error:
        raise RunError(
            f"The files of this run are not as this package writes them: {type(error).__name__}: {error}.",
            where=run.path,
            fix="Put plan.json, environment.json and events.jsonl back as they were.",
        ) from error


def _put_together(
    run: Run,
    lines: Sequence[Metrics],
    events: Sequence[Event],
    environment: dict[str, Any],
    plan: dict[str, Any],
) -> Recorded:
    saved = {each.step: _saved(each) for each in events if each.event == "checkpoint"}
    (summary,) = list_runs(run.path)
    kinds: dict[str, Any] = plan.get("step_seconds_by_kind", {})
    waits = (each.details["seconds"] for each in events if each.event == "mirror_wait")
    threads = environment.get("threads")
    return Recorded(
        run=run,
        recipe=with_settings(run.read_recipe(), plan.get("choices", {})),
        state=summary.state,
        total_steps=int(summary.total_steps or lines[-1].step),
        stretches=_stretches(lines),
        saved=[saved[step] for step in sorted(saved)],
        validations=_validations(lines, events),
        mirror_waits=[float(each) for each in waits],
        device=str(environment.get("device", "")),
        threads=None if threads is None else int(threads),
        cores=environment.get("cores"),
        dtype=str(environment.get("compute_dtype", "unknown")),
        planned_step=float(plan["step_seconds"]) if "step_seconds" in plan else None,
        kinds={kind: float(each) for kind, each in kinds.items()},
        cut_cost=planned_cut_cost(plan),
        complete=all(each.loop is not None for each in saved.values())
        and lines[-1].cpu_seconds is not None,
    )


def _stretches(lines: Sequence[Metrics]) -> list[Stretch]:
    found: list[Stretch] = []
    before = 0
    for line in lines:
        steps, before = line.step - before, line.step
        if steps > 0 and line.tokens_per_second > 0:
            seconds = line.layout_tokens / line.tokens_per_second
            wait = min(line.data_wait_seconds, seconds)
            found.append(Stretch(steps, seconds, line.layout_tokens, wait, line.cpu_wait_seconds))
    return found


def _saved(event: Event) -> Saved:
    details = event.details
    loop = details.get("loop_seconds")
    return Saved(
        loop=None if loop is None else float(loop),
        writing=float(details.get("seconds", 0.0)),
        mirror=float(details.get("mirror_seconds", 0.0)),
    )


def _validations(lines: Sequence[Metrics], events: Sequence[Event]) -> list[float]:
    first = (each.details.get("validation_seconds") for each in events if each.event == "started")
    later = (line.validation_seconds for line in lines)
    return [float(each) for each in (*first, *later) if each is not None]
