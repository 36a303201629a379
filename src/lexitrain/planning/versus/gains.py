"""What a change gains, as one number: time, memory or disk, from the plans before and after it."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from lexitrain.planning.estimate.plan import Plan

Gain = Callable[["Plan", "Plan"], float]
"""From the plan before the change and the one after it; larger is better."""


def times_faster(before: Plan, after: Plan) -> float:
    """How many times as fast the whole run is; 1: as before."""
    return before.hours.expected / after.hours.expected


def time_saved(before: Plan, after: Plan) -> float:
    """Share of the hours; below 0 where it takes longer."""
    return 1 - after.hours.expected / before.hours.expected


def memory_saved(before: Plan, after: Plan) -> float:
    """Share of the peak."""
    return 1 - after.memory.peak / before.memory.peak


def optimizer_memory_saved(before: Plan, after: Plan) -> float:
    """Share of the optimizer's state."""
    return 1 - after.memory.optimizer / (before.memory.optimizer or 1)


def checkpoints_saved(before: Plan, after: Plan) -> float:
    """Share of what a run keeps on disk."""
    return 1 - after.disk.kept / before.disk.kept


GAINS: Mapping[str, Gain] = {
    gain.__name__: gain
    for gain in (times_faster, time_saved, memory_saved, optimizer_memory_saved, checkpoints_saved)
}
"""By name, as `claims.yaml` gives them."""
