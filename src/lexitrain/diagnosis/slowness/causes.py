"""What made a run slow, each cause with the minutes that mending it would gain over the whole run.

Where the loop stood still is recorded, and mending gives it back. What a setting costs within a step is profiled: the
same steps with the setting and without. What other work on the machine took is what the thread that trains waited for a
processor; where the machine is quiet now, the recorded step against the profiled one. Each of these is measured; what
the plan alone says is told as such.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import asdict, dataclass
from statistics import median
from typing import TYPE_CHECKING, Any, Literal

from lexitrain.diagnosis.slowness.profile import emulated
from lexitrain.errors import number_of
from lexitrain.recipe import Recipe

if TYPE_CHECKING:
    from lexitrain.diagnosis.machine_facts import MachineFacts
    from lexitrain.diagnosis.slowness.load import Load
    from lexitrain.diagnosis.slowness.profile import Profile
    from lexitrain.diagnosis.slowness.recorded import Recorded

Basis = Literal["recorded", "profiled", "planned"]

_WORTH_TELLING = 0.01
"""Share of the run from which on a gain is told."""
_EXCESS = 0.1
"""Share by which a recorded step must be slower than a profiled one: steps differ by some percent from day to day."""
_NOISE = 0.03
"""What two profiles of the same step may differ by."""
_WAITED = 0.05
"""Share of a step spent waiting for a processor that says that others had them."""
_WRITING = 0.1
"""Share of the time in which checkpoints were written from which on the writing is what slows steps down."""
_GROWTH = 1.15
_SHARE_OF_VALIDATION = 0.05
_EVERY = Recipe().checkpoints.every


@dataclass(frozen=True, slots=True)
class Cause:
    """Something that made a run slow.

    Attributes:
        name: its name for programs.
        gain_minutes: that mending it would gain over the whole run; None: it is not known.
        found: a sentence with its numbers.
        fix: the setting that mends it.
        basis: whether the gain is `recorded` by the run, `profiled` now, or only `planned`.
    """

    name: str
    gain_minutes: float | None
    found: str
    fix: str
    basis: Basis

    def to_json(self) -> dict[str, Any]:
        """As a JSON object."""
        gain = None if self.gain_minutes is None else round(self.gain_minutes, 3)
        return {**asdict(self), "gain_minutes": gain}


@dataclass(frozen=True)
class Evidence:
    """All that is known of a run.

    Attributes:
        recorded: by its own files.
        profile: of some steps, as far as that was possible.
        facts: of this machine.
        load: of this machine at the time of asking.
    """

    recorded: Recorded
    profile: Profile
    facts: MachineFacts
    load: Load

    def minutes(self, seconds_a_step: float) -> float:
        """Over the whole run."""
        return seconds_a_step * self.recorded.total_steps / 60

    @property
    def compute(self) -> float:
        """Seconds a step without the wait for data."""
        return self.recorded.step_seconds - self.recorded.data_wait

    @property
    def excess(self) -> float | None:
        """Seconds by which a recorded step was slower than a profiled one, without the wait for data; None: unknown."""
        seconds = self.profile.step_seconds
        return None if seconds is None else max(0.0, self.compute - seconds)

    @property
    def beside_writing(self) -> float:
        """Seconds by which a step was slower while checkpoints were written behind it.

        The thread that writes takes processors, and the interpreter, from the one that trains: no longer than it
        writes, and where the loop stood still meanwhile, that is counted already.
        """
        recorded = self.recorded
        if recorded.writing_share <= _WRITING:
            return 0.0
        room = max(0.0, recorded.writing_share * recorded.step_seconds - recorded.loop_seconds)
        return min(room, max(self.excess or 0.0, recorded.cpu_wait or 0.0))


def causes_of(evidence: Evidence) -> tuple[Cause, ...]:
    """The causes that are worth telling, the largest gain first, unknown ones last."""
    found = [
        *_data(evidence),
        *_checkpoints(evidence),
        *_validation(evidence),
        *_mirror(evidence),
        *_busy(evidence),
        *_growth(evidence),
        *_within_a_step(evidence),
        *_device(evidence),
        *_launches(evidence),
    ]
    least = _WORTH_TELLING * evidence.recorded.whole_seconds / 60
    told = [each for each in found if each.gain_minutes is None or each.gain_minutes >= least]
    return tuple(sorted(told, key=lambda each: -(each.gain_minutes or 0.0)))


def _data(evidence: Evidence) -> Iterator[Cause]:
    recorded = evidence.recorded
    wait, workers = recorded.data_wait, recorded.recipe.data.workers
    if not wait:
        return
    made = wait if not workers else workers * recorded.step_seconds
    enough = max(2, int(made / max(evidence.compute, 1e-6)) + 2)
    found = f"Steps waited {wait:.3f} s each for their samples, {wait / recorded.step_seconds:.0%} of their time"
    if enough > workers:
        fix = f"data.workers={min(enough, 64)}: they lay the next steps out while one is computed. "
    else:
        fix = ""
    fix += "What makes samples slow is a busy disk, or other work on the processors."
    yield Cause(
        "data",
        evidence.minutes(wait),
        f"{found} ({number_of(workers, 'worker')}).",
        fix,
        "recorded",
    )


def _fewer(recorded: Recorded) -> float:
    """Share of checkpoints that the default would not write."""
    return max(0.0, 1 - recorded.recipe.checkpoints.every / _EVERY)


def _checkpoints(evidence: Evidence) -> Iterator[Cause]:
    recorded = evidence.recorded
    fewer = _fewer(recorded)
    if not recorded.saved:
        return
    every = recorded.recipe.checkpoints.every
    stood = recorded.loop_seconds * fewer
    beside = fewer * evidence.beside_writing
    if recorded.recipe.validation.every is None:  # then there is a validation at each of them
        stood += recorded.validation_seconds * fewer
    known = any(each.loop is not None for each in recorded.saved)
    found = (
        f"{number_of(len(recorded.saved), 'checkpoint')}, one every {number_of(every, 'step')}: the loop stood "
        "still for "
        f"{recorded.loop_seconds:.3f} s a step"
        + (f", and steps were {beside:.3f} s slower while they were written" if beside else "")
        + "."
    )
    if known and fewer:
        fix = f"checkpoints.every={_EVERY}: a kill then costs the steps since the last one, and nothing else."
        if not recorded.recipe.checkpoints.background:
            fix = f"checkpoints.background=true, and {fix}"
        yield Cause("checkpoints", evidence.minutes(stood + beside), found, fix, "recorded")


def _validation(evidence: Evidence) -> Iterator[Cause]:
    """One before training and one at the end are always there; the others are as many as `validation.every` says."""
    recorded = evidence.recorded
    count, total = len(recorded.validations), recorded.total_steps
    every = recorded.recipe.validation.every or max(_EVERY, recorded.recipe.checkpoints.every)
    planned = -(-total // every)
    if not count or planned < 2:
        return  # those of denser checkpoints go with these
    one = sum(recorded.validations) / count
    fewer = max(1, int(_SHARE_OF_VALIDATION * recorded.step_seconds * total / one))
    if fewer >= planned:
        return
    found = f"A validation takes {one:.2f} s, and there are {planned + 1} of them in the whole run."
    fix = f"validation.every={-(-total // fewer)}, or validation.limit for fewer samples."
    yield Cause("validation", one * (planned - fewer) / 60, found, fix, "recorded")


def _mirror(evidence: Evidence) -> Iterator[Cause]:
    recorded = evidence.recorded
    waited = recorded.mirror_wait
    if not waited:
        return
    where = recorded.recipe.checkpoints.mirror
    found = f"At its end the run waited {waited:.1f} s for the mirror {where}, which is slower than the run."
    if not recorded.mirror_waits:
        found = f"The mirror {where} is {waited:.1f} s behind; at its end the run waits for it."
    fix = "A faster place for --mirror, or `--mirror none` where the run's own folder outlives the machine."
    yield Cause("mirror", waited / 60, found, fix, "recorded")


def _busy(evidence: Evidence) -> Iterator[Cause]:
    """Other work on the machine, by what the thread waited; or, where it is quiet now, by how much faster it is now."""
    recorded, load, beside = evidence.recorded, evidence.load, evidence.beside_writing
    waited = max(0.0, (recorded.cpu_wait or 0.0) - beside)
    excess = None if evidence.excess is None else max(0.0, evidence.excess - beside)
    others = waited > _WAITED * recorded.step_seconds
    slower = excess is not None and excess > _EXCESS * evidence.compute
    if not others and not (slower and not _grows(recorded)):
        return
    now = f"now {load.busy_cores:.1f} of {evidence.facts.cores} cores are taken by others"
    if load.stolen > _WAITED:
        now += f", and {load.stolen:.0%} of the processor's time by other machines on the same host"
    found = f"Steps waited {waited:.3f} s each for a processor that others had ({now})."
    gain, basis = waited, "recorded"
    if excess is not None and slower and (load.quiet or excess > waited):
        gain, basis = excess, "profiled"
        found += f" A step takes {evidence.profile.step_seconds:.3f} s by itself, and took {evidence.compute:.3f} s."
    fix = (
        "End the other work, or give the run fewer threads than there are cores (OMP_NUM_THREADS)."
    )
    yield Cause("busy machine", evidence.minutes(gain), found, fix, basis)


def _quarters(recorded: Recorded) -> tuple[float, float] | None:
    """Seconds of a token in the first and in the last quarter of the lines; None with too few."""
    rates = [
        each.token_seconds - (each.cpu_wait or 0.0) / max(1, each.tokens)
        for each in recorded.stretches
    ]
    if len(rates) < 8:
        return None
    quarter = len(rates) // 4
    return median(rates[:quarter]), median(rates[-quarter:])


def _grows(recorded: Recorded) -> bool:
    rates = _quarters(recorded)
    return rates is not None and rates[1] > _GROWTH * rates[0]


def _growth(evidence: Evidence) -> Iterator[Cause]:
    recorded = evidence.recorded
    rates = _quarters(recorded)
    if rates is None or not _grows(recorded):
        return
    more = sum(max(0.0, each.token_seconds - rates[0]) * each.tokens for each in recorded.stretches)
    # Other work that came while it trained makes steps slower too, and its minutes are told once.
    told = sum(each.gain_minutes or 0.0 for each in _busy(evidence))
    found = f"A token took {rates[1] / rates[0]:.0%} of its first time at the end, without waiting for a processor."
    fix = "A hot device lowers its clock: cool it, or lower its power limit; see `nvidia-smi -q -d PERFORMANCE`."
    gain = max(0.0, evidence.minutes(more / recorded.steps) - told)
    yield Cause("throttling", gain, found, fix, "recorded")


def _within_a_step(evidence: Evidence) -> Iterator[Cause]:
    """What a change of a setting does to a step, as profiled."""
    recorded = evidence.recorded
    base = evidence.compute  # other work on the machine, if any, makes both ways slower
    threads = recorded.threads
    if recorded.on_cpu and threads is not None and threads < evidence.facts.cores:
        found = f"It computed with {number_of(threads, 'thread')} of {number_of(evidence.facts.cores, 'core')}."
        fix = f"OMP_NUM_THREADS={evidence.facts.cores}, or leave it unset."
        yield from _changed(evidence, "threads", base, found, fix)
    if recorded.recipe.step.layout != "tree":
        layout = recorded.recipe.step.layout
        found = f"Steps are laid out as `{layout}`, {recorded.step_tokens:,.0f} tokens each."
        fix = "step.layout=tree: equal prompts are computed once, and there is no padding."
        yield from _changed(evidence, "layout", base, found, fix)
    if emulated(recorded, evidence.facts):
        found = f"It computed in {recorded.dtype} on {recorded.device}, which has no units for it."
        yield from _changed(evidence, "precision", base, found, "model.precision=auto.")


def _changed(evidence: Evidence, name: str, base: float, found: str, fix: str) -> Iterator[Cause]:
    ratio = evidence.profile.ratios.get(name)
    if ratio is None:
        yield Cause(name, None, found, fix, "planned")
    if ratio is None or ratio > 1 - _NOISE:
        return
    gain = evidence.minutes(base * (1 - ratio))
    yield Cause(
        name, gain, f"{found} A step takes {ratio:.0%} of its time without that.", fix, "profiled"
    )


def _device(evidence: Evidence) -> Iterator[Cause]:
    listed = evidence.facts.driver_gpus
    if evidence.recorded.on_cpu and listed:
        found = f"It trained on the processor, and this machine has {', '.join(listed)}."
        fix = "See the check `gpu` of `lexitrain doctor`, then `lexitrain plan --gpu` for the hours there."
        yield Cause("device", None, found, fix, "planned")


def _launches(evidence: Evidence) -> Iterator[Cause]:
    launches, work = evidence.recorded.launches, evidence.recorded.arithmetic
    if evidence.recorded.on_cpu or launches <= work:
        return
    found = f"Starting kernels takes {launches:.2f} s a step, and their work {work:.2f} s."
    fix = "Fewer cuts (a larger step.token_budget), or more samples a step; a faster GPU would gain little."
    yield Cause("launches", evidence.minutes(launches - work), found, fix, "planned")
