"""Which recipe is trained: the given one, or what keeps within the hours and the memory."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from lexitrain.errors import LimitNotMet

if TYPE_CHECKING:
    from lexitrain.building.choices import Choices
    from lexitrain.planning import Plan
    from lexitrain.recipe import Recipe


def chosen(choices: Choices, own: Recipe, data: str | Path) -> tuple[Recipe, Plan, str]:
    """The recipe that is trained, its plan, and why it is this one.

    Raises:
        LimitNotMet: none keeps within the limits.
    """
    import torch

    from lexitrain.planning import Planner, device_at_hand, find_gpu, with_installed_memory

    if choices.gpu is not None:
        device = with_installed_memory(find_gpu(choices.gpu))
    else:
        here = torch.device("cuda" if torch.cuda.is_available() else "cpu")
        device = with_installed_memory(device_at_hand(here))
    planner = Planner(device, data=data, memory_gb=choices.memory_gb)
    if choices.hours is None:
        plan = planner.plan(own)
        if choices.memory_gb is not None and not plan.fits:
            needs = plan.memory.device_total / 1e9
            raise LimitNotMet(
                f"The recipe {own.name} needs {needs:.2f} GB, more than {choices.memory_gb:g}.",
                where="--memory",
                fix="; ".join(planner.warnings(plan)) or "Choose another recipe.",
            )
        why = f"{own.name} on {device.name}: {_foreseen(plan)}"
        return own, plan, why
    found = planner.recommend(own, choices.hours, choices.overrides)
    if found.best is None:
        raise LimitNotMet(
            " ".join([found.why, *found.notes]),
            where="--within",
            fix="Give more hours, fewer records, or a faster device.",
        )
    why = " ".join([found.why, _foreseen(found.best.plan), *found.notes])
    return found.best.recipe, found.best.plan, why


def _foreseen(plan: Plan) -> str:
    hours = plan.hours
    return (
        f"predicted {hours.expected:.2g} h ({hours.low:.2g} to {hours.high:.2g}) and "
        f"{plan.memory.device_total / 1e9:.2f} GB."
    )
