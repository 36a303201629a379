"""Two recipes side by side, and the team's claims about each change beside what is foreseen.

A change is judged alone: the old recipe with only that setting changed. What all of them do together, and how much of
it each one owns, is the levers' business (`levers.py`).
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING, Any

from lexitrain.planning.estimate.levers import Lever, Measure, mixed, pull_levers
from lexitrain.planning.estimate.plan import Plan, plan_json

if TYPE_CHECKING:
    from lexitrain.recipe.schema import Recipe

PlanOf = Callable[["Recipe"], Plan]

_ENOUGH = 0.9
"""A claim holds when what is foreseen reaches this share of it."""


@dataclass(frozen=True, slots=True)
class Row:
    """A line of the table.

    Attributes:
        what: the setting or the result.
        old, new: its values.
        improvement: what the change alone does (for results: what all changes do), in words.
        claim: what the team's guide says about this very change, or empty.
        holds: whether the claim holds; None without one.
        why: one sentence where it does not.
    """

    what: str
    old: str
    new: str
    improvement: str = ""
    claim: str = ""
    holds: bool | None = None
    why: str = ""


@dataclass(frozen=True, slots=True)
class Comparison:
    """Two plans, what differs, and what each difference does.

    Attributes:
        a, b: the old plan and the new one.
        rows: the table.
        levers: each change's own share of hours and memory saved; they sum to the difference.
    """

    a: Plan
    b: Plan
    rows: tuple[Row, ...]
    levers: tuple[Lever, ...]

    def to_json(self) -> dict[str, Any]:
        """The keys that `--versus` adds to the document of `--json`."""
        a, b = self.a, self.b
        return {
            "a": plan_json(a),
            "b": plan_json(b),
            "improvement": {
                "times_faster": round(a.hours.expected / b.hours.expected, 3),
                "hours_saved": round(a.hours.expected - b.hours.expected, 4),
                "memory_saved_gb": round((a.memory.peak - b.memory.peak) / 1e9, 4),
                "memory_saved": round(1 - b.memory.peak / a.memory.peak, 4),
                "checkpoints_saved": round(1 - b.disk.kept / a.disk.kept, 4),
                "table": [asdict(row) for row in self.rows],
            },
            "levers": [lever.to_json() for lever in self.levers],
        }


def compare_plans(old: Recipe, new: Recipe, plan_of: PlanOf) -> Comparison:
    """Foresee both recipes and every step between them.

    Args:
        old: the recipe that `--versus` names.
        new: the recipe that is planned.
        plan_of: plans a recipe, for the same device and the same records.
    """
    a, b = plan_of(old), plan_of(new)

    def measure(recipe: Recipe) -> Measure:
        plan = plan_of(recipe)
        return Measure(plan.hours.expected, plan.memory.peak / 1e9)

    return Comparison(a, b, _table(old, new, a, b, plan_of), pull_levers(old, new, measure))


def _table(old: Recipe, new: Recipe, a: Plan, b: Plan, plan_of: PlanOf) -> tuple[Row, ...]:
    def alone(lever: str) -> Plan:
        return plan_of(mixed(old, new, frozenset({lever})))

    def changed(what: str, before: object, after: object, row: Callable[[], Row]) -> Row:
        return row() if before != after else Row(what, str(before), str(after))

    models = _short(old.model.base), _short(new.model.base)
    lengths = old.data.max_length, new.data.max_length
    ranks = old.lora.rank, new.lora.rank
    batches = _micro_batch(a), _micro_batch(b)
    epochs = old.schedule.epochs, new.schedule.epochs
    optimizers = old.optimizer.name, new.optimizer.name
    return (
        changed("model", *models, lambda: _model_row(models, a, alone("model"))),
        changed(
            "sequence length", *lengths, lambda: _length_row(lengths, a, alone("sequence length"))
        ),
        changed("LoRA rank", *ranks, lambda: _rank_row(ranks, a, alone("LoRA rank"))),
        changed("batch", *batches, lambda: _batch_row(batches, a, alone("batch"))),
        Row("accumulation", _accumulation(a), _accumulation(b)),
        changed("epochs", *epochs, lambda: _epochs_row(epochs, a, alone("epochs"))),
        changed(
            "optimizer", *optimizers, lambda: _optimizer_row(optimizers, a, alone("optimizer"))
        ),
        *_result_rows(a, b),
    )


def _judged(
    row: Row, claim: str, reached: float, claimed: float, why: str, *, applies: bool = True
) -> Row:
    """The row with a claim, where the claim is about this very change."""
    if not applies:
        return row
    holds = reached >= _ENOUGH * claimed
    return Row(row.what, row.old, row.new, row.improvement, claim, holds, "" if holds else why)


def _model_row(models: tuple[str, str], old: Plan, alone: Plan) -> Row:
    ratio = old.hours.expected / alone.hours.expected
    row = Row("model", *models, f"{ratio:.2f}× as fast, {_memory_change(old, alone)}")
    why = (
        f"A step's arithmetic falls {old.flops / alone.flops:.1f} times, but the vocabulary of the output head and the "
        "memory traffic of many small operations do not shrink with the model."
    )
    return _judged(row, "3× as fast", ratio, 3, why, applies=_is(models, "1.5B", "0.5B"))


def _length_row(lengths: tuple[int, int], old: Plan, alone: Plan) -> Row:
    saved = 1 - alone.memory.peak / old.memory.peak
    ratio = old.hours.expected / alone.hours.expected
    row = Row(
        "sequence length",
        str(lengths[0]),
        str(lengths[1]),
        f"{_memory_change(old, alone)}, {ratio:.2f}× as fast",
    )
    fixed = (old.memory.weights + old.memory.adapter + old.memory.optimizer) / old.memory.peak
    if alone.recipe.step.layout == "padded":
        why = (
            "Only activations and logits shrink with the length; weights, adapter and optimizer "
            f"are {fixed:.0%} of the peak."
        )
    else:
        why = "Samples are not padded, so that a limit above their own lengths costs nothing."
    return _judged(row, "33 % less memory", saved, 0.33, why, applies=lengths == (768, 512))


def _rank_row(ranks: tuple[int, int], old: Plan, alone: Plan) -> Row:
    saved = 1 - alone.hours.expected / old.hours.expected
    row = Row(
        "LoRA rank",
        str(ranks[0]),
        str(ranks[1]),
        f"{_less(saved)} time, {_memory_change(old, alone)}",
    )
    why = (
        f"The adapter's products take {_adapter_share(old):.0%} of a step's time at rank {ranks[0]}; the frozen "
        "base's, which the rank does not touch, take most of the rest."
    )
    return _judged(row, "40–50 % faster", saved, 0.40, why, applies=ranks == (48, 16))


def _batch_row(batches: tuple[str, str], old: Plan, alone: Plan) -> Row:
    ratio = old.hours.expected / alone.hours.expected
    row = Row("batch", *batches, f"{ratio:.2f}× as fast, {_memory_change(old, alone)}")
    why = (
        "A larger micro-batch computes the same tokens in fewer, larger pieces: it saves starting kernels, "
        "not arithmetic."
    )
    return _judged(row, "2× as fast", ratio, 2, why, applies=batches == ("2", "4"))


def _epochs_row(epochs: tuple[int, int], old: Plan, alone: Plan) -> Row:
    saved = 1 - alone.hours.expected / old.hours.expected
    row = Row("epochs", str(epochs[0]), str(epochs[1]), f"{_less(saved)} time")
    why = "Validation, checkpoints and the start do not all shrink with the epochs."
    return _judged(row, "43 % less time", saved, 0.43, why, applies=epochs == (7, 4))


def _optimizer_row(names: tuple[str, str], old: Plan, alone: Plan) -> Row:
    state = old.memory.optimizer or 1
    saved = 1 - alone.memory.optimizer / state
    share = old.memory.optimizer / old.memory.peak
    row = Row(
        "optimizer", *names, f"{_less(saved)} optimizer memory, which was {share:.1%} of the peak"
    )
    why = "Paged state lies in the processor's memory, not on the GPU."
    applies = "32bit" in names[0] and "8bit" in names[1]
    return _judged(row, "75 % less optimizer memory", saved, 0.75, why, applies=applies)


def _result_rows(a: Plan, b: Plan) -> tuple[Row, ...]:
    ratio = a.hours.expected / b.hours.expected
    memory, disk = 1 - b.memory.peak / a.memory.peak, 1 - b.disk.kept / a.disk.kept
    theirs = a.recipe.name == "slow" and b.recipe.name in {"notebook", "fast"}
    time = Row("training time", _hours(a), _hours(b), f"{ratio:.2f}× as fast")
    gpu = Row("GPU memory", _gigabytes(a), _gigabytes(b), _less(memory))
    kept = Row("checkpoints", _megabytes(a), _megabytes(b), _less(disk))
    return (
        _judged(time, "2.5–3×", ratio, 2.5, "See the levers below for what each change gives.", applies=theirs),
        _judged(
            gpu, "55 % less", memory, 0.55,
            f"The vocabulary's embedding and logits stay: {(b.memory.weights + b.memory.logits) / 1e9:.1f} GB of what "
            "is left are weights and logits.",
            applies=theirs,
        ),
        _judged(
            kept, "66 % less", disk, 0.66, "A checkpoint holds the adapter and its optimizer, never the base.",
            applies=theirs,
        ),
    )  # fmt: skip


def _is(models: tuple[str, str], before: str, after: str) -> bool:
    return before in models[0] and after in models[1]


def _short(base: str) -> str:
    return base.rstrip("/").rpartition("/")[2] or base


def _less(saved: float) -> str:
    return f"{abs(saved):.0%} {'less' if saved >= 0 else 'more'}"


def _memory_change(old: Plan, alone: Plan) -> str:
    return f"{_less(1 - alone.memory.peak / old.memory.peak)} memory"


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
