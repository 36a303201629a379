"""AdamW in the variants that a recipe names, and the learning rate as a pure function of the step.

There is no scheduler object: the rate depends on nothing but the step's number, so that a resumed run needs no
scheduler state and several processes cannot step it twice.
"""

from __future__ import annotations

import math
import sys
from collections.abc import Iterable
from importlib import import_module
from typing import TYPE_CHECKING, Any

import torch
from torch.nn import Parameter
from torch.optim import Optimizer

from lexitrain.errors import MissingExtra
from lexitrain.step.update.flat_adapter import adapter_order
from lexitrain.step.update.flat_optimizer import FlatOptimizer, Kind

if TYPE_CHECKING:
    from lexitrain.recipe import OptimizerSection, ScheduleSection


RATIO = "rate_ratio"
"""Key of a parameter group: how many times the step's learning rate it learns with. Without it once."""


def build_optimizer(
    parameters: Iterable[Parameter] | Iterable[tuple[str, Parameter]], settings: OptimizerSection
) -> FlatOptimizer:
    """The recipe's optimizer over the parameters that require gradients, its state already allocated.

    Allocating now means that a step which runs out of memory does so before it has changed any weight.

    Args:
        parameters: those of the model, with their names (`named_parameters()`) or without.
        settings: which optimizer. Where `lora_plus` is not 1, the B matrices are a group of their own.

    Raises:
        MissingExtra: the recipe names a bitsandbytes optimizer and bitsandbytes is not installed.
        ValueError: `lora_plus` is not 1 and names are missing.
    """
    trainable = _groups(parameters, settings.lora_plus)
    shared = {
        "lr": settings.learning_rate,
        "betas": (settings.beta1, settings.beta2),
        "eps": settings.epsilon,
        "weight_decay": settings.weight_decay,
    }
    if settings.name == "adamw":
        kind = Kind(lambda groups, _: torch.optim.AdamW(groups, fused=True, **shared), False)
    else:
        on_cpu = all(each.device.type == "cpu" for group in trainable for each in group["params"])
        made: Any = _bitsandbytes_class(settings.name, on_cpu)
        wide = {"min_8bit_size": sys.maxsize}
        kind = Kind(
            lambda groups, all_wide: made(groups, **shared, **(wide if all_wide else {})),
            settings.name.endswith("8bit"),
        )
    optimizer = FlatOptimizer(trainable, kind, settings.learning_rate)
    set_learning_rate(optimizer, settings.learning_rate)
    return optimizer


def _groups(
    parameters: Iterable[Parameter] | Iterable[tuple[str, Parameter]], ratio: float
) -> list[dict[str, Any]]:
    """The parameters that require gradients as one group, or A and B matrices apart where they learn at two rates."""
    named = [each if isinstance(each, tuple) else ("", each) for each in parameters]
    trained = [(name, parameter) for name, parameter in named if parameter.requires_grad]
    trained.sort(key=lambda each: adapter_order(each[0]))
    if ratio == 1:
        return [{"params": [parameter for _, parameter in trained]}]
    if not all(name for name, _ in trained):
        raise ValueError("lora_plus tells the B matrices by their names: give named_parameters()")
    slow = [parameter for name, parameter in trained if "lora_B" not in name]
    fast = [parameter for name, parameter in trained if "lora_B" in name]
    return [{"params": slow}, {"params": fast, RATIO: ratio}]


def set_learning_rate(optimizer: Optimizer, rate: float) -> None:
    """Give every group its rate for the next step: `rate`, times the group's ratio."""
    for group in optimizer.param_groups:
        group["lr"] = rate * group.get(RATIO, 1.0)


def _bitsandbytes_class(name: str, on_cpu: bool) -> type[Optimizer]:
    """The class for `name`. Paging moves state off a GPU: on a CPU the unpaged class gives the same numbers."""
    try:
        variants: Any = import_module("bitsandbytes.optim")
    except ImportError as error:
        raise MissingExtra("bitsandbytes", "train") from error
    return {
        "adamw_8bit": variants.AdamW8bit,
        "paged_adamw_8bit": variants.AdamW8bit if on_cpu else variants.PagedAdamW8bit,
        "paged_adamw_32bit": variants.AdamW32bit if on_cpu else variants.PagedAdamW32bit,
    }[name]


def learning_rate_at(step: int, total_steps: int, schedule: ScheduleSection, peak: float) -> float:
    """The learning rate of a step.

    It rises linearly over the first `schedule.warmup` share of the steps (rounded up; the first step has the first
    fraction of the peak, the last warm-up step the peak), then follows `schedule.kind`, which would reach 0 at
    `total_steps`, one past the last step.

    Args:
        step: number of the step, from 0 to `total_steps - 1`.
        total_steps: steps of the whole run, however early it may be stopped.
        schedule: kind and warm-up share.
        peak: the highest learning rate.
    """
    warmup_steps = math.ceil(schedule.warmup * total_steps)
    if step < warmup_steps:
        return peak * (step + 1) / warmup_steps
    progress = (step - warmup_steps) / max(1, total_steps - warmup_steps)
    if schedule.kind == "cosine":
        return peak * 0.5 * (1.0 + math.cos(math.pi * progress))
    if schedule.kind == "linear":
        return peak * (1.0 - progress)
    return peak
