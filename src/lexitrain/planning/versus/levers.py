"""Levers: the settings in which two recipes differ, and each one's own share of the difference.

A setting's effect depends on what has been changed before it: a smaller rank saves less on a smaller model. The
levers are therefore pulled one after the other in the order of `LEVERS`, and once more in the reverse order; a lever's
share is the mean of both. In either order the shares sum to the whole difference, so their means do too.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from lexitrain.recipe import Recipe, field_text, field_value

if TYPE_CHECKING:
    from lexitrain.planning.rehearsal.target import Engine

ENGINE = "engine"
"""The lever of whose step it is. It is no field of a recipe."""
LEVERS: Mapping[str, tuple[str, ...]] = {
    "model": ("model.base", "model.revision", "model.adapter"),
    "sequence length": ("data.max_length",),
    "LoRA rank": ("lora.rank", "lora.alpha", "lora.targets", "lora.layers", "lora.init"),
    "batch": (
        "step.effective_batch", "step.micro_batch", "step.token_budget", "step.memory_limit", "step.head_chunk",
    ),
    "epochs": ("schedule.epochs",),
    "optimizer": ("optimizer.name",),
    "layout and loss": (
        "step.layout", "step.loss", "step.attention", "step.bucket", "step.graphs", "step.compile",
    ),
    "quantization": ("model.quantization",),
    "recomputation": ("step.gradient_checkpointing",),
    "dropout": ("lora.dropout",),
    "precision": ("model.precision",),
    "data": ("data.tasks", "data.task_weights", "data.custom_tasks", "data.system", "data.workers", "data.adapters"),
    ENGINE: (),
    "checkpoints and validation": (
        "checkpoints.every", "checkpoints.keep", "checkpoints.mirror", "checkpoints.background", "validation.every",
        "validation.limit",
    ),
}  # fmt: skip
"""Lever -> its fields, in the order in which levers are pulled: the lines of the table first, the others after them."""

SETTINGS_WITHOUT_COST = (
    "name", "description", "seed", "log_every", "lora.scaling", "optimizer.learning_rate", "optimizer.lora_plus",
    "trackers", "optimizer.weight_decay",
    "optimizer.clip", "optimizer.beta1", "optimizer.beta2", "optimizer.epsilon", "schedule.kind",
    "schedule.warmup", "schedule.early_stopping", "evaluation.targets",
)  # fmt: skip
"""Fields that change what is learnt but neither time nor memory of a whole run."""


@dataclass(frozen=True, slots=True)
class Lever:
    """One change and what it does by itself.

    Attributes:
        name: of the lever.
        change: its fields as `lora.rank 48 → 16`.
        hours: share of the difference in hours, old minus new: above 0 it saves time.
        memory_gb: share of the difference in peak memory, 10^9 bytes, likewise.
    """

    name: str
    change: str
    hours: float
    memory_gb: float

    def to_json(self) -> dict[str, Any]:
        """The lever as JSON."""
        return {
            "lever": self.name,
            "change": self.change,
            "hours": round(self.hours, 4),
            "memory_gb": round(self.memory_gb, 4),
        }


@dataclass(frozen=True, slots=True)
class Measure:
    """What a lever acts on: hours of a run, and its peak memory in GB."""

    hours: float
    memory_gb: float


def pull_levers(
    old: Recipe,
    new: Recipe,
    measure: Callable[[Recipe, Engine], Measure],
    engines: tuple[Engine, Engine] = ("lexitrain", "lexitrain"),
) -> tuple[Lever, ...]:
    """Each lever's own share of the way from `old` to `new`.

    Args:
        old, new: the two recipes.
        measure: foresees a recipe in an engine's step; called some two dozen times, often for equal recipes.
        engines: of the old one and the new one.
    """
    changes = {name: _changes(old, new, name) for name in LEVERS}
    if engines[0] != engines[1]:
        changes[ENGINE] = [f"{engines[0]} → {engines[1]}"]
    levers = [name for name in LEVERS if changes[name]]
    known: dict[frozenset[str], Measure] = {}

    def at(pulled: frozenset[str]) -> Measure:
        if pulled not in known:
            known[pulled] = measure(mixed(old, new, pulled), engines[ENGINE in pulled])
        return known[pulled]

    shares = [_shares(order, at) for order in (levers, levers[::-1])]
    return tuple(
        Lever(
            name,
            "; ".join(changes[name]),
            hours=sum(share[name].hours for share in shares) / 2,
            memory_gb=sum(share[name].memory_gb for share in shares) / 2,
        )
        for name in levers
    )


def mixed(old: Recipe, new: Recipe, pulled: frozenset[str]) -> Recipe:
    """`old` with the fields of the pulled levers as in `new`."""
    content = old.model_dump()
    for lever in pulled:
        for dotted in LEVERS[lever]:
            level = content
            *sections, leaf = dotted.split(".")
            for section in sections:
                level = level[section]
            level[leaf] = field_value(new, dotted)
    return Recipe.model_validate(content)


def _shares(order: Sequence[str], at: Callable[[frozenset[str]], Measure]) -> dict[str, Measure]:
    shares: dict[str, Measure] = {}
    before = at(frozenset())
    for place, name in enumerate(order, start=1):
        after = at(frozenset(order[:place]))
        shares[name] = Measure(before.hours - after.hours, before.memory_gb - after.memory_gb)
        before = after
    return shares


def _changes(old: Recipe, new: Recipe, lever: str) -> list[str]:
    """The lever's fields that differ, as text."""
    return [
        f"{dotted} {field_text(field_value(old, dotted), ',')} → {field_text(field_value(new, dotted), ',')}"
        for dotted in LEVERS[lever]
        if field_value(old, dotted) != field_value(new, dotted)
    ]
