"""The step of a recipe, with its model and optimizer as they are before the first step."""

from __future__ import annotations

from typing import TYPE_CHECKING

from lexitrain.models import attach_adapter, compute_dtype, load_base
from lexitrain.step import Processes, TrainingStep, build_optimizer, keep_freed_memory

if TYPE_CHECKING:
    from lexitrain.batching import CutCost
    from lexitrain.recipe import ModelSection, Recipe


def built_step(
    decided: Recipe,
    base: ModelSection,
    pad_id: int,
    *,
    start: str | None = None,
    processes: Processes | None = None,
    cut_cost: CutCost | None = None,
) -> TrainingStep:
    """Load the base, put the adapter on it, and make the step.

    Args:
        decided: the recipe, with the automatic settings decided.
        base: how the base is loaded.
        pad_id: token put on padding.
        start: folder of an adapter to start from.
        processes: that train together; None: this one.
        cut_cost: what a cut costs, as planned; None: by the base's shape alone.

    Raises:
        InputError: the base or the adapter cannot be had, or cannot be trained.
    """
    together = processes or Processes()
    device = together.device()
    if device.type == "cpu":
        keep_freed_memory()
    dtype = compute_dtype(decided.model.precision, device)
    loaded = load_base(base, device=device, dtype=dtype)
    model = attach_adapter(loaded, decided.lora, decided.seed, start, begin=False)
    return TrainingStep(
        model,
        build_optimizer(model.named_parameters(), decided.optimizer),
        decided.step,
        max_length=decided.data.max_length,
        pad_id=pad_id,
        clip=decided.optimizer.clip,
        processes=together,
        cut_cost=cut_cost,
    )
