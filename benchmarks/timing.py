"""Seconds of the product's own step: built as a run of the recipe builds it, warmed up, timed over given samples."""

from __future__ import annotations

import time
from collections import Counter
from collections.abc import Sequence
from typing import Any

import torch

from benchmarks.compare.competitors import EQUAL
from benchmarks.device_cuts import planned_here
from benchmarks.workload import PAD, SEED, Shape, build_base
from lexitrain.batching import MOST_RECORDED, MicroBatch
from lexitrain.models import attach_adapter
from lexitrain.recipe.yaml_file import load_recipe
from lexitrain.samples.sample import Sample
from lexitrain.step import TrainingStep, build_optimizer, keep_freed_memory
from lexitrain.step.graphs.static_inputs import CutForm

_UNTIL_RECORDED = 3
"""Uses of a form until it is recorded as a graph (`lexitrain.step.graphs`)."""


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
        cut_cost=planned_here(shape.architecture(), recipe, device),
    )


def prepare(step: TrainingStep, laid: Sequence[Sequence[MicroBatch]]) -> dict[str, Any]:
    """Compute a cut of each form that will come, so that none is compiled or recorded while it is timed.

    The most frequent forms first, as a run would meet them. No weight moves, and no gradient is left. On a CPU nothing
    is compiled unless the recipe says so.

    Args:
        step: of one model.
        laid: the micro-batches of the steps that will be timed.

    Returns:
        how many forms there are, and what preparing them took, seconds.
    """
    start = time.perf_counter()
    batches = [batch for each in laid for batch in each]
    forms = Counter(CutForm.of(batch) for batch in batches)
    compiled = step.settings.compile == "always"
    if step.graphs is not None or compiled or torch.cuda.is_available():
        uses = 1 if step.graphs is None else _UNTIL_RECORDED
        examples = {CutForm.of(batch): batch for batch in batches}
        common = [form for form, _ in forms.most_common()]
        # Of those that are recorded the largest first: after a larger one they would be recorded anew.
        common[:MOST_RECORDED] = sorted(
            common[:MOST_RECORDED],
            key=lambda form: (form.rows * form.length, form.scored),
            reverse=True,
        )
        for form in common:
            example = examples[form]
            step.accumulate([example] * uses, uses * example.supervised_tokens)
        step.drop_gradients()
        wait()
    return {"forms": len(forms), "preparing_seconds": round(time.perf_counter() - start, 2)}


def timed(step: TrainingStep, work: Sequence[Sequence[Sample]], repeats: int = 1) -> dict[str, Any]:
    """Mean seconds of a step over the work, layout and update included, with what it computed.

    Args:
        step: of one model; its weights move.
        work: the samples of each step. Their forms are prepared before.
        repeats: passes over the work; the fastest pass counts, which other work on the machine disturbed least.
    """
    prepare(step, [step.lay_out(samples) for samples in work])
    passes: list[float] = []
    found = []
    for _ in range(repeats):
        start = time.perf_counter()
        found = []
        for samples in work:
            found.append(step.gradients(samples))
            step.update(1e-4)
        wait()
        passes.append((time.perf_counter() - start) / len(work))
    return {
        "step_seconds": round(min(passes), 4),
        "layout_tokens": round(sum(f.layout_tokens for f in found) / len(found), 1),
        "cuts": round(sum(f.cuts for f in found) / len(found), 2),
    }


def wait() -> None:
    """Until a GPU has done all that was started."""
    if torch.cuda.is_available():
        torch.cuda.synchronize()
