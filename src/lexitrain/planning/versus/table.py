"""The table of two recipes: a line for each setting and each result, and what is claimed of it.

What each line says of a change is general; which claims there are is data (`claims.yaml`).
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Literal

from lexitrain.planning.estimate.plan import Plan, PlanOf
from lexitrain.planning.versus.claims import Verdict, claim_about
from lexitrain.planning.versus.gains import (
    checkpoints_saved,
    memory_saved,
    optimizer_memory_saved,
    time_saved,
    times_faster,
)
from lexitrain.planning.versus.levers import mixed

if TYPE_CHECKING:
    from lexitrain.recipe import Recipe


@dataclass(frozen=True, slots=True)
class Row:
    """A line of the table.

    Attributes:
        what: the setting or the result.
        old, new: its values.
        improvement: what the change alone does (for results: what all changes do), in words.
        claim: what is claimed of this very change, or empty.
        verdict: what becomes of the claim; empty without one.
        why: one sentence where it does not hold.
    """

    what: str
    old: str
    new: str
    improvement: str = ""
    claim: str = ""
    verdict: Verdict | Literal[""] = ""
    why: str = ""


Told = tuple[str, str]
"""What a change does, in words, and why a claim about it may fail."""


def table(old: Recipe, new: Recipe, a: Plan, b: Plan, plan_of: PlanOf) -> tuple[Row, ...]:
    """A line for each setting, changed alone, and for each result of all changes together.

    Args:
        old, new: the two recipes.
        a, b: their plans.
        plan_of: plans the old one with a single change, in the old one's engine.
    """

    def setting(
        what: str, before: object, after: object, tell: Callable[[Plan, Plan], Told]
    ) -> Row:
        row = Row(what, str(before), str(after))
        if before == after:
            return row
        alone = plan_of(mixed(old, new, frozenset({what})))  # a line has its lever's name
        return _judged(row, tell(a, alone), old, new, a, alone)

    def result(what: str, shown: Callable[[Plan], str], tell: Callable[[Plan, Plan], Told]) -> Row:
        return _judged(Row(what, shown(a), shown(b)), tell(a, b), old, new, a, b)

    return (
        setting("model", _short(old.model.base), _short(new.model.base), _model),
        setting("sequence length", old.data.max_length, new.data.max_length, _length),
        setting("LoRA rank", old.lora.rank, new.lora.rank, _rank),
        setting("batch", _micro_batch(a), _micro_batch(b), _batch),
        Row("accumulation", _accumulation(a), _accumulation(b)),
        setting("epochs", old.schedule.epochs, new.schedule.epochs, _epochs),
        setting("optimizer", old.optimizer.name, new.optimizer.name, _optimizer),
        result("training time", _hours, _time),
        result("GPU memory", _gigabytes, _memory),
        result("checkpoints", _megabytes, _checkpoints),
    )


def _judged(row: Row, told: Told, old: Recipe, new: Recipe, before: Plan, after: Plan) -> Row:
    """The row with what the change does, and with a claim where there is one about these two recipes."""
    improvement, why = told
    row = replace(row, improvement=improvement)
    claim = claim_about(row.what, old, new)
    if claim is None:
        return row
    verdict = claim.verdict(before, after)
    missed = verdict == "does not hold"
    return replace(row, claim=claim.text, verdict=verdict, why=why if missed else "")


# What each line tells, from the plans before and after the change


def _model(before: Plan, after: Plan) -> Told:
    return (
        f"{_as_fast(before, after)}, {_memory_change(before, after)}",
        f"A step's arithmetic falls {before.flops / after.flops:.1f} times, but the vocabulary of the output head and "
        "the memory traffic of many small operations do not shrink with the model.",
    )


def _length(before: Plan, after: Plan) -> Told:
    memory = before.memory
    fixed = (memory.weights + memory.adapter + memory.optimizer) / memory.peak
    if after.recipe.step.layout == "padded":
        why = (
            "Only activations and logits shrink with the length; weights, adapter and optimizer "
            f"are {fixed:.0%} of the peak."
        )
    else:
        why = "Samples are not padded, so that a limit above their own lengths costs nothing."
    return f"{_memory_change(before, after)}, {_as_fast(before, after)}", why


def _rank(before: Plan, after: Plan) -> Told:
    return (
        f"{_less(time_saved(before, after))} time, {_memory_change(before, after)}",
        f"The adapter's products take {_adapter_share(before):.0%} of a step's time at rank {before.recipe.lora.rank}; "
        "the frozen base's, which the rank does not touch, take most of the rest.",
    )


def _batch(before: Plan, after: Plan) -> Told:
    return (
        f"{_as_fast(before, after)}, {_memory_change(before, after)}",
        "A larger micro-batch computes the same tokens in fewer, larger pieces: it saves starting kernels, "
        "not arithmetic.",
    )


def _epochs(before: Plan, after: Plan) -> Told:
    return (
        f"{_less(time_saved(before, after))} time",
        "Validation, checkpoints and the start do not all shrink with the epochs.",
    )


def _optimizer(before: Plan, after: Plan) -> Told:
    share = before.memory.optimizer / before.memory.peak
    return (
        f"{_less(optimizer_memory_saved(before, after))} optimizer memory, which was {share:.1%} of the peak",
        "Paged state lies in the processor's memory, not on the GPU.",
    )


def _time(before: Plan, after: Plan) -> Told:
    return _as_fast(before, after), "See the levers below for what each change gives."


def _memory(before: Plan, after: Plan) -> Told:
    left = (after.memory.weights + after.memory.logits) / 1e9
    return (
        _less(memory_saved(before, after)),
        f"The vocabulary's embedding and logits stay: {left:.1f} GB of what is left are weights and logits.",
    )


def _checkpoints(before: Plan, after: Plan) -> Told:
    return (
        _less(checkpoints_saved(before, after)),
        "A checkpoint holds the adapter and its optimizer, never the base.",
    )


# Numbers as text


def _as_fast(before: Plan, after: Plan) -> str:
    return f"{times_faster(before, after):.2f}× as fast"


def _short(base: str) -> str:
    return base.rstrip("/").rpartition("/")[2] or base


def _less(saved: float) -> str:
    return f"{abs(saved):.0%} {'less' if saved >= 0 else 'more'}"


def _memory_change(before: Plan, after: Plan) -> str:
    return f"{_less(memory_saved(before, after))} memory"


def _adapter_share(plan: Plan) -> float:
    total = sum(plan.kinds.values())
    return plan.kinds.get("adapter", 0.0) / total if total else 0.0


def _micro_batch(plan: Plan) -> str:
    size = plan.recipe.step.micro_batch
    return f"auto: {plan.steps.cuts:.1f} cuts" if size == "auto" else str(size)


def _accumulation(plan: Plan) -> str:
    return f"{plan.steps.cuts:.0f}"


def _hours(plan: Plan) -> str:
    hours = plan.hours
    return f"{hours.expected:.2f} h ({hours.low:.2f}–{hours.high:.2f})"


def _gigabytes(plan: Plan) -> str:
    return f"{plan.memory.peak / 1e9:.2f} GB"


def _megabytes(plan: Plan) -> str:
    return f"{plan.disk.kept / 1e6:.0f} MB"
