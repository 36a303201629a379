"""The memory of a validation, which has no backward pass: that of the real one, and the peak where it is larger."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace
from typing import Any, cast

import pytest
import torch
from benchmarks.live_memory import LiveMemory

from lexitrain.models import attach_adapter, load_base
from lexitrain.models.architecture import architecture_of
from lexitrain.planning.devices.catalogue import find_gpu
from lexitrain.planning.estimate.peak_memory import peak_memory
from lexitrain.planning.estimate.plan import make_plan
from lexitrain.planning.estimate.planned_data import mixture_data
from lexitrain.planning.rehearsal.cut_shape import CutShape, blank_micro_batch
from lexitrain.planning.rehearsal.rehearse import rehearse, rehearse_validation
from lexitrain.planning.rehearsal.target import Target
from lexitrain.recipe.yaml_file import load_recipe
from lexitrain.step import TrainingStep, build_optimizer
from tests.planning.rehearsal.test_rehearse import recipe_of, shape, state_of, tensors_of

NANO = architecture_of("nano")


@pytest.mark.parametrize("precision", ["fp32", "bf16"])
@pytest.mark.parametrize(
    ("overrides", "cut"),
    [
        ((), CutShape(1, 300, 60)),
        (("step.gradient_checkpointing=always", "lora.rank=48"), CutShape(2, 200, 300)),
        (("step.head_chunk=64",), CutShape(1, 600, 20)),
    ],
)
def test_memory_is_that_of_the_real_validation(
    precision: Any, overrides: tuple[str, ...], cut: CutShape, tmp_path: Path
):
    from transformers import AutoModelForCausalLM

    recipe, architecture = recipe_of("step.attention=dense", *overrides), shape()
    base = AutoModelForCausalLM.from_config(architecture.transformers_config())
    base.save_pretrained(tmp_path)
    placed = recipe.model.model_copy(update={"base": str(tmp_path)})
    dtype = {"fp32": torch.float32, "bf16": torch.bfloat16}[precision]
    model = attach_adapter(load_base(placed, device="cpu", dtype=dtype), recipe.lora, recipe.seed)
    optimizer = build_optimizer(model.parameters(), recipe.optimizer)
    step = TrainingStep(model, optimizer, recipe.step, max_length=600, pad_id=0, clip=1.0)
    batch = blank_micro_batch(cut)
    step.accumulate([batch], 1)
    step.update(1e-3)
    step.step_layout = cast(Any, SimpleNamespace(lay_out=lambda _: [batch]))
    step.loss([])
    memory = LiveMemory()
    memory.hold(*tensors_of(model), *state_of(optimizer), step.adapter.collected())
    with memory:
        step.loss([])
    found = rehearse_validation(architecture, recipe, Target("cpu", precision, "dense"), cut)
    assert found.peak == pytest.approx(memory.peak, rel=0.01)


@pytest.mark.parametrize("overrides", [[], ["step.gradient_checkpointing=always"]])
def test_a_cut_that_is_as_large_needs_less_in_a_validation(overrides: list[str]):
    recipe = load_recipe("fast", ["model.base=nano", *overrides])
    target = Target.of("auto", (7, 5))
    for cut in (CutShape(1, 512, 64), CutShape(1, 128, 128), CutShape(4, 256, 900)):
        later = rehearse(NANO, recipe, target, (cut, cut)).memory
        assert rehearse_validation(NANO, recipe, target, cut).peak <= later.peak


@pytest.mark.parametrize("graphs", ["never", "always"])
def test_a_validation_that_needs_more_is_the_peak(graphs: str):
    recipe = load_recipe(
        "fast",
        ["model.base=nano", f"step.graphs={graphs}", "step.gradient_checkpointing=always"],
    )
    target = Target.of("auto", (7, 5))
    small, long = CutShape(1, 64, 32), CutShape(1, 4096, 900)
    alone = peak_memory(NANO, recipe, target, [(small,)])
    assert peak_memory(NANO, recipe, target, [(small,)], [(small,)]) == alone
    found = peak_memory(NANO, recipe, target, [(small,)], [(small,), (small, long)])
    needed = rehearse_validation(NANO, recipe, target, long)
    assert found.peak >= needed.peak > alone.peak
    assert (found.graphs > alone.graphs) == (graphs == "always")


def test_a_plan_looks_at_the_largest_validation():
    """One sample of many, which no spread of ten batches need hold."""
    recipe = load_recipe(
        "fast",
        ["model.base=nano", "data.max_length=8192", "step.gradient_checkpointing=always"],
    )
    data = mixture_data(480)(recipe)
    longest = max(data.validation, key=len)
    long = replace(longest, prompt_ids=longest.prompt_ids.repeat(7000 // len(longest.prompt_ids)))
    validation = [*data.train[:400], long]
    plans = [
        make_plan(recipe, find_gpu("T4"), lambda _, each=each: each, calibrated=False)
        for each in (data, replace(data, validation=validation, key="other"))
    ]
    most = [
        max(cut.positions for batch in plan.steps.heaviest_validation for cut in batch)
        for plan in plans
    ]
    assert most[1] >= len(long) > most[0]
    assert plans[1].memory.peak > plans[0].memory.peak
