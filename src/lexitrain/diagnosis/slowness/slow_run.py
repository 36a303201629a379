"""Why a run is slow: where the time of a step went, what mending would gain, and the questions that are asked first."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from lexitrain.diagnosis.machine_facts import MachineFacts
from lexitrain.diagnosis.slowness.causes import Cause, Evidence, causes_of
from lexitrain.diagnosis.slowness.load import Load
from lexitrain.diagnosis.slowness.profile import Profile, emulated, profiled
from lexitrain.diagnosis.slowness.recorded import Recorded, recorded
from lexitrain.errors import number_of
from lexitrain.runs import Run
from lexitrain.training import Silent

if TYPE_CHECKING:
    from lexitrain.training import Observer

_ENOUGH_WORKERS = 2


@dataclass(frozen=True, slots=True)
class SlowRun:
    """Where the time of a run went.

    Attributes:
        run: its folder.
        state: finished, running, stopped, interrupted or broken.
        steps, total_steps: those that are recorded, and of the whole run.
        step_seconds: mean of a step, the wait for data included.
        minutes: of the whole run, at the speed so far.
        parts: seconds a step by part, checkpoints, validations and the mirror spread over the steps.
        causes: what made it slow, the largest gain first.
        questions: those that are asked first, each with the answer for this run.
        notes: what is not known, and why.
    """

    run: Path
    state: str
    steps: int
    total_steps: int
    step_seconds: float
    minutes: float
    parts: dict[str, float]
    causes: tuple[Cause, ...]
    questions: tuple[tuple[str, str], ...]
    notes: tuple[str, ...]

    def to_json(self) -> dict[str, Any]:
        """As the JSON document of `lexitrain doctor RUN --json`."""
        return {
            "run": str(self.run),
            "state": self.state,
            "steps": self.steps,
            "total_steps": self.total_steps,
            "step_seconds": round(self.step_seconds, 5),
            "minutes": round(self.minutes, 3),
            "parts": {name: round(each, 5) for name, each in self.parts.items()},
            "causes": [each.to_json() for each in self.causes],
            "questions": dict(self.questions),
            "notes": list(self.notes),
        }


def slow_run(
    run: str | Path,
    *,
    profile: bool = True,
    facts: MachineFacts | None = None,
    observer: Observer | None = None,
) -> SlowRun:
    """Explain where the time of a run went, be it finished, stopped or running. Writes nothing.

    Args:
        run: its folder.
        profile: take a few of its steps here, where its base, data and device are at hand and it does not train.
        facts: of the machine; None: of this one.
        observer: is told what is being looked at.

    Raises:
        RunError: there is no run, or it has no line of metrics yet.
    """
    told = observer or Silent()
    known = recorded(Run(run))
    told.stage("looking at the machine")
    machine, load = facts or MachineFacts.here(), Load.now()
    measured = profiled(known, machine, told) if profile else Profile(why_not="as asked")
    evidence = Evidence(known, measured, machine, load)
    return SlowRun(
        run=known.run.path,
        state=known.state,
        steps=known.steps,
        total_steps=known.total_steps,
        step_seconds=known.step_seconds,
        minutes=known.whole_seconds / 60,
        parts=_parts(known),
        causes=causes_of(evidence),
        questions=tuple(_questions(known, machine)),
        notes=tuple(_notes(known, measured)),
    )


def _parts(known: Recorded) -> dict[str, float]:
    """Seconds a step. What the plan foresaw is split off where the step has taken as long."""
    waited = known.cpu_wait or 0.0
    computing = max(0.0, known.step_seconds - known.data_wait - waited)
    arithmetic, launches = known.arithmetic, known.launches
    if not known.on_cpu:  # both at once
        launches = max(0.0, launches - arithmetic)
    if 0 < arithmetic + launches <= computing:
        parts = {
            "arithmetic, as planned": arithmetic,
            "starting operations, as planned": launches,
            "more than planned": computing - arithmetic - launches,
        }
    else:
        parts = {"computing": computing}
    return {
        **parts,
        "waiting for a processor": waited,
        "waiting for data": known.data_wait,
        "checkpoints": known.loop_seconds,
        "validation": known.validation_seconds,
        "mirror, at the end": known.mirror_wait / known.total_steps,
    }


def _questions(known: Recorded, machine: MachineFacts) -> Iterator[tuple[str, str]]:
    device = known.device or "unknown"
    if known.on_cpu:
        here = ", ".join(machine.driver_gpus)
        used = "No" + (
            f": {number_of(known.threads, 'processor thread')}. " if known.threads else ". "
        )
        used += f"This machine has {here}." if here else "This machine has no NVIDIA GPU."
    else:
        used = f"Yes: {device}."
    yield "Is the GPU used?", used
    workers = known.recipe.data.workers
    enough = "Yes" if workers >= _ENOUGH_WORKERS else "No"
    share = known.data_wait / known.step_seconds
    waited = f"data.workers={workers}; steps waited {share:.1%} of their time for data."
    yield "Are there two workers?", f"{enough}: {waited}"
    dtype = known.dtype
    if emulated(known, machine):
        said = f"Yes, and {device} has no units for it: try model.precision=auto."
    elif dtype in {"float16", "bfloat16"}:
        said = f"Yes: {dtype}."
    else:
        right = (
            ", which is right for a processor."
            if device == "cpu"
            else ": try model.precision=auto."
        )
        said = f"No: {dtype}{right}"
    yield "Is fp16 or bf16 on?", said


def _notes(known: Recorded, measured: Profile) -> Iterator[str]:
    if measured.why_not:
        yield f"no steps were profiled ({measured.why_not}), so that gains within a step are not known."
    if not known.complete:
        yield "some of it was recorded by a version that did not time checkpoints, validations and processors."
    if known.cpu_wait is None:
        yield "this system does not tell how long a thread waits for a processor."
    if known.planned_step is not None:
        yield f"the plan foresaw {known.planned_step:.4g} s a step."
