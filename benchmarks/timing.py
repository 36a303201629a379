"""Seconds of the product's own step, for the curves: of a recipe on a shape, over given samples."""

from __future__ import annotations

import time
from collections.abc import Sequence
from typing import Any

import torch

from benchmarks.compare.competitors import EQUAL
from benchmarks.workload import PAD, SEED, Shape, build_base
from lexitrain.models import attach_adapter
from lexitrain.recipe.yaml_file import load_recipe
from lexitrain.samples.sample import Sample
from lexitrain.step import TrainingStep, build_optimizer, keep_freed_memory


def built_step(
    shape: Shape, *overrides: str, name: str = "fast", device: str = "cpu", dtype: Any = None
) -> TrainingStep:
    """The product's step over a model of the shape with random weights, as a run of the recipe builds it."""
    if device == "cpu":
        keep_freed_memory()
    recipe = load_recipe(name, [*EQUAL, *overrides])
    model = attach_adapter(build_base(shape, dtype=dtype, device=device), recipe.lora, SEED)
    return TrainingStep(
        model,
        build_optimizer(model.named_parameters(), recipe.optimizer),
        recipe.step,
        max_length=recipe.data.max_length,
        pad_id=PAD,
        clip=recipe.optimizer.clip,
    )


def timed(step: TrainingStep, work: Sequence[Sequence[Sample]], repeats: int = 1) -> dict[str, Any]:
    """Mean seconds of a step over the work, layout and update included, with what it computed.

    Args:
        step: of one model; its weights move.
        work: the samples of each step.
        repeats: passes over the work; the fastest pass counts, which other work on the machine disturbed least.
    """
    passes: list[float] = []
    found = []
    for _ in range(repeats):
        start = time.perf_counter()
        found = []
        for samples in work:
            found.append(step.gradients(samples))
            step.update(1e-4)
        if torch.cuda.is_available():
            torch.cuda.synchronize()
        passes.append((time.perf_counter() - start) / len(work))
    return {
        "step_seconds": round(min(passes), 4),
        "layout_tokens": round(sum(f.layout_tokens for f in found) / len(found), 1),
        "cuts": round(sum(f.cuts for f in found) / len(found), 2),
    }
