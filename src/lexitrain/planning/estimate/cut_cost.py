"""What a micro-batch costs on a device, for the choice of cuts: from its rehearsed work and the device's rates.

A run's plan.json keeps it, so that a run that goes on is cut as before whatever was measured in between.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict
from typing import TYPE_CHECKING, Any

from lexitrain.batching import CutCost
from lexitrain.planning.estimate.step_costs import step_costs
from lexitrain.planning.rehearsal.cut_shape import CutShape

if TYPE_CHECKING:
    from lexitrain.models import Architecture
    from lexitrain.planning.devices.rates import Rates
    from lexitrain.planning.rehearsal.rehearsed_step import Work
    from lexitrain.planning.rehearsal.target import Target
    from lexitrain.recipe import Recipe

_SHORT, _LONG = CutShape(1, 512, 32), CutShape(1, 1024, 32)
"""Cuts between which the cost of one more token is taken; they differ in nothing else but their cells."""
_DIGITS = 6


def cut_cost(architecture: Architecture, recipe: Recipe, target: Target, rates: Rates) -> CutCost:
    """What a cut costs in units of one token's work, attention apart.

    On a CPU launches are no time of their own, and the cost follows from the decoder's shape alone.

    Args:
        architecture: of the base.
        recipe: where quantization or recomputation is `auto`, neither is used.
        target: the kind of device.
        rates: its speed.
    """
    by_shape = CutCost.of_shape(architecture.decoder)
    if not rates.overlapped:
        return by_shape
    costs = step_costs(architecture, recipe, target)
    short, long = costs.operations(_SHORT), costs.operations(_LONG)
    token = _seconds(long, rates, attention=False) - _seconds(short, rates, attention=False)
    token /= _LONG.positions - _SHORT.positions
    cell = _seconds(long, rates, attention=True) - _seconds(short, rates, attention=True)
    cell /= _LONG.cells - _SHORT.cells
    started = rates.launch * sum(each.launches for each in short)
    return CutCost(
        pair=float(f"{cell / token:.{_DIGITS}g}"),
        floor=by_shape.floor,
        launch=float(f"{started / token:.{_DIGITS}g}"),
    )


def _seconds(operations: tuple[Work, ...], rates: Rates, *, attention: bool) -> float:
    return sum(
        rates.work_seconds(each) for each in operations if (each.kind == "attention") == attention
    )


def cut_cost_to_json(cost: CutCost) -> dict[str, float]:
    """As plan.json holds it."""
    return asdict(cost)


def planned_cut_cost(document: Mapping[str, Any]) -> CutCost | None:
    """That of a plan.json; None where it has none: a version before this one made it, or nothing was foreseen.

    Raises:
        TypeError, ValueError: it holds something else there.
    """
    found = document.get("cut_cost")
    if found is None:
        return None
    return CutCost(**{name: float(value) for name, value in found.items()})
