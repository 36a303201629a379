"""What a cut costs on the device at hand: as a run of the recipe there plans it, so that the benchmarks cut alike.

On a GPU it follows from the catalogue's launches and rates, or from a measurement where there is one; some seconds of
rehearsals, which are kept for the next process.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import torch

from lexitrain.planning.devices.calibration import find_calibration
from lexitrain.planning.devices.local import device_at_hand
from lexitrain.planning.devices.rates import catalogue_rates, in_graphs
from lexitrain.planning.estimate.step_costs import cut_cost
from lexitrain.planning.rehearsal.target import Target

if TYPE_CHECKING:
    from lexitrain.batching import CutCost
    from lexitrain.models import Architecture
    from lexitrain.planning.devices.catalogue import Gpu
    from lexitrain.recipe.schema import Recipe


def planned_on(gpu: Gpu, architecture: Architecture, recipe: Recipe) -> CutCost:
    """What a cut costs on a device of the catalogue, of a base of this architecture."""
    target = Target.of(
        recipe.model.precision,
        gpu.capability,
        recipe.step.attention,
        recipe.step.layout,
        architecture.config,
        recorded=recipe.step.graphs == "always",
    )
    measured = find_calibration(gpu, target.dtype)
    rates = measured.rates() if measured else catalogue_rates(gpu, target.dtype, "expected")
    if recipe.step.graphs == "always":
        rates = in_graphs(rates, "expected")
    return cut_cost(architecture, recipe, target, rates)


def planned_here(architecture: Architecture, recipe: Recipe, device: str) -> CutCost | None:
    """The same on the device at hand; None on a CPU, where the architecture alone says it."""
    if device == "cpu":
        return None
    return planned_on(device_at_hand(torch.device(device)), architecture, recipe)
