"""The rehearsal against the real step: memory, arithmetic, depth; and what must hold for any step."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch
from benchmarks.live_memory import LiveMemory
from hypothesis import given, settings
from hypothesis import strategies as st

import lexitrain.planning.rehearsal.rehearse as rehearsal_module
from lexitrain.models import attach_adapter, load_base
from lexitrain.models.architecture import Architecture, architecture_of
from lexitrain.planning.rehearsal.cut_shape import CutShape, blank_micro_batch
from lexitrain.planning.rehearsal.kernels import nf4_bytes
from lexitrain.planning.rehearsal.optimizer_state import state_bytes
from lexitrain.planning.rehearsal.rehearse import rehearse
from lexitrain.planning.rehearsal.rehearsed_step import Rehearsal
from lexitrain.planning.rehearsal.target import Target
from lexitrain.recipe.schema import Recipe
from lexitrain.recipe.yaml_file import load_recipe
from lexitrain.step import TrainingStep, build_optimizer

CPU = Target("cpu", "fp32", "blocks")
T4 = Target("cuda", "fp16", "dense")


def shape(**changes: Any) -> Architecture:
    """A small Qwen2 with a vocabulary large enough to matter."""
    config = {
        **architecture_of("Qwen/Qwen2.5-0.5B").config,
        "vocab_size": 6000,
        "hidden_size": 128,
        "intermediate_size": 320,
        "num_attention_heads": 4,
        "num_hidden_layers": 6,
        **changes,
    }
    return Architecture("small", config)


def recipe_of(*overrides: str) -> Recipe:
    return load_recipe("demo", ["optimizer.name=adamw", *overrides])


def measured(
    folder: Path, architecture: Architecture, recipe: Recipe, cuts: Sequence[CutShape]
) -> int:
    """Most bytes in use in a real step on the CPU, weights and optimizer included."""
    from transformers import AutoModelForCausalLM

    base = AutoModelForCausalLM.from_config(architecture.transformers_config())
    base.save_pretrained(folder)
    placed = recipe.model.model_copy(update={"base": str(folder)})
    model = attach_adapter(
        load_base(placed, device="cpu", dtype=torch.float32), recipe.lora, recipe.seed
    )
    optimizer = build_optimizer(model.parameters(), recipe.optimizer)
    step = TrainingStep(
        model, optimizer, recipe.step, max_length=recipe.data.max_length, pad_id=0, clip=1.0
    )
    batches = [blank_micro_batch(cut) for cut in cuts]
    step.accumulate(batches, 1)  # what is loaded at the first use is there
    step.update(1e-3)
    step.optimizer.zero_grad(set_to_none=True)
    memory = LiveMemory()
    memory.hold(*tensors_of(model), *state_of(optimizer))
    with memory:
        step.accumulate(batches, 1)
        step.update(1e-3)
    return memory.peak


def tensors_of(model: Any) -> list[torch.Tensor]:
    """Parameters and buffers, and the scales of 4-bit ones."""
    found = [*model.parameters(), *model.buffers()]
    for each in model.parameters():
        quantized = getattr(each, "quant_state", None)
        if quantized is not None:
            found += [quantized.absmax, quantized.code, quantized.offset]
            found += [quantized.state2.absmax, quantized.state2.code]
    return found


def state_of(optimizer: torch.optim.Optimizer) -> list[torch.Tensor]:
    values = [value for state in optimizer.state.values() for value in state.values()]
    return [value for value in values if isinstance(value, torch.Tensor)]


@pytest.mark.parametrize(
    ("overrides", "cuts"),
    [
        ((), [CutShape(1, 200, 60)]),
        ((), [CutShape(1, 200, 60), CutShape(1, 150, 60)]),
        ((), [CutShape(1, 300, 60, ((192, 192), (58, 100), (50, 150)))]),
        ((), [CutShape(1, 300, 60, ((192, 192), (58, 80), (50, 50)), trunk=192)]),
        (("step.gradient_checkpointing=always",), [CutShape(1, 300, 60, ((200, 200), (100, 150)))]),
        (("step.head_chunk=32",), [CutShape(1, 100, 90)]),
        (("step.gradient_checkpointing=always", "lora.rank=48"), [CutShape(1, 200, 60)]),
        (("step.layout=padded", "lora.dropout=0.1"), [CutShape(4, 64, 40)]),
        (("lora.targets=[q_proj, v_proj]", "lora.rank=4"), [CutShape(2, 96, 30)]),
        (("lora.rank=256",), [CutShape(1, 8, 4)]),
        (("lora.layers=[0-1, 4]",), [CutShape(1, 200, 60)]),
        (("lora.layers=[5]", "step.gradient_checkpointing=always"), [CutShape(1, 200, 60)]),
        (("lora.init=pissa", "model.quantization=none"), [CutShape(1, 200, 60)]),
    ],
)
def test_memory_is_that_of_the_real_step(
    overrides: Sequence[str], cuts: list[CutShape], tmp_path: Path
) -> None:
    recipe, architecture = recipe_of(*overrides), shape()
    predicted = rehearse(architecture, recipe, CPU, cuts).memory.peak
    assert predicted == pytest.approx(measured(tmp_path, architecture, recipe, cuts), rel=0.01)


@pytest.mark.slow
@pytest.mark.parametrize("checkpointing", ["never", "always"])
def test_memory_of_a_quantized_base_and_8_bit_state(checkpointing: str, tmp_path: Path) -> None:
    recipe = recipe_of(
        "model.quantization=nf4",
        "optimizer.name=adamw_8bit",
        f"step.gradient_checkpointing={checkpointing}",
    )
    architecture, cuts = shape(), [CutShape(1, 200, 60)]
    predicted = rehearse(architecture, recipe, CPU, cuts).memory.peak
    assert predicted == pytest.approx(measured(tmp_path, architecture, recipe, cuts), rel=0.02)


@pytest.mark.parametrize("target", [CPU, T4], ids=["cpu", "cuda"])
@pytest.mark.parametrize(
    "overrides",
    [
        (),
        ("step.gradient_checkpointing=always",),
        ("model.quantization=nf4", "lora.dropout=0.1", "lora.rank=48"),
    ],
)
def test_two_depths_extended_equal_the_full_depth(
    overrides: Sequence[str], target: Target, monkeypatch: pytest.MonkeyPatch
) -> None:
    architecture, recipe = shape(num_hidden_layers=9), recipe_of(*overrides)
    cuts = [CutShape(1, 160, 50), CutShape(1, 12, 4)]
    if target is CPU:
        cuts.append(CutShape(1, 90, 20, ((50, 50), (40, 70))))
    extended = rehearse(architecture, recipe, target, cuts)
    monkeypatch.setattr(rehearsal_module, "_SHALLOW", (9, 9))
    direct = rehearse(architecture, recipe, target, cuts)
    assert extended == direct


@pytest.mark.slow
@pytest.mark.parametrize("base", ["Qwen/Qwen2.5-0.5B-Instruct", "Qwen/Qwen3-0.6B"])
def test_two_depths_extended_equal_a_whole_built_in_model(
    base: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    architecture, recipe = architecture_of(base), load_recipe("fast")
    cuts = [CutShape(1, 500, 200)]
    extended = rehearse(architecture, recipe, T4, cuts)
    monkeypatch.setattr(rehearsal_module, "_SHALLOW", (99, 99))
    direct = rehearse(architecture, recipe, T4, cuts)
    assert extended.memory.peak == pytest.approx(direct.memory.peak, rel=0.005)
    assert extended == direct


def test_arithmetic_is_that_of_pytorchs_own_counter() -> None:
    from torch.utils.flop_counter import FlopCounterMode

    from lexitrain.planning.rehearsal.fake_step import build_fake_step
    from lexitrain.planning.rehearsal.kernels import UNCOUNTED_FLOPS, device_kernels

    architecture, recipe, cut = shape(), recipe_of(), CutShape(2, 96, 40)
    fake = build_fake_step(architecture, recipe, CPU, architecture.decoder.layers)
    counter = FlopCounterMode(display=False, custom_mapping=UNCOUNTED_FLOPS)
    with counter, device_kernels(CPU):
        fake.step.accumulate([blank_micro_batch(cut)], 1)
    found = rehearse(architecture, recipe, CPU, [cut])
    products = [w for w in found.operations if w.kind in {"matmul", "adapter", "attention"}]
    # The head's element-wise work is counted with it, one operation a number.
    head = sum(work.flops for work in found.operations if work.kind == "head")
    counted = counter.get_total_flops() - sum(work.flops for work in products)
    assert 0 < counted <= head <= 1.2 * counted


@pytest.mark.parametrize("target", [CPU, T4], ids=["cpu", "cuda"])
def test_arithmetic_is_that_of_the_bases_own_code(target: Target) -> None:
    """Products in place count too: known layers multiply what their own code multiplies."""
    from lexitrain.planning.rehearsal.fake_step import build_fake_step

    found: dict[bool, dict[str, float]] = {}
    for own in (False, True):
        fake = build_fake_step(shape(), recipe_of(), target, 3)
        fake.step.own_layers = own
        assert fake.step.known_layers != own
        work = fake.record(CutShape(1, 96, 40)).work
        found[own] = {}
        for (kind, _), (flops, _, _) in work.items():
            found[own][kind] = found[own].get(kind, 0.0) + flops
    for kind in ("matmul", "adapter", "attention", "head"):
        assert found[False][kind] == pytest.approx(found[True][kind], rel=0.01), kind


def memory_of(length: int, scored: int, rank: int, recomputation: str) -> Rehearsal:
    recipe = recipe_of(f"lora.rank={rank}", f"step.gradient_checkpointing={recomputation}")
    return rehearse(shape(), recipe, T4, [CutShape(1, length, scored)])


@settings(max_examples=8, deadline=None, derandomize=True)
@given(
    st.integers(1, 400),
    st.integers(1, 300),
    st.sampled_from([1, 64]),
    st.sampled_from(["never", "always"]),
)
def test_parts_sum_to_the_peak_and_more_tokens_never_need_less(
    length: int, more: int, rank: int, recomputation: str
) -> None:
    scored = max(1, length // 3)
    small = memory_of(length, scored, rank, recomputation).memory
    large = memory_of(length + more, scored, rank, recomputation).memory
    for memory in (small, large):
        assert sum(memory.parts().values()) == memory.peak
        assert min(memory.parts().values()) >= 0
        assert memory.reserved >= memory.peak
    assert large.peak >= small.peak


def test_levers_move_their_own_parts() -> None:
    cut = [CutShape(1, 300, 100)]
    plain = rehearse(shape(), recipe_of(), T4, cut).memory
    recomputed = rehearse(shape(), recipe_of("step.gradient_checkpointing=always"), T4, cut).memory
    quantized = rehearse(shape(), recipe_of("model.quantization=nf4"), T4, cut).memory
    assert recomputed.activations < plain.activations / 3
    assert replace(recomputed, activations=0, workspace=0, gradients=0, logits=0, reserved=0) == (
        replace(plain, activations=0, workspace=0, gradients=0, logits=0, reserved=0)
    )
    assert quantized.weights < plain.weights


@pytest.mark.parametrize("name", ["adamw", "adamw_8bit", "paged_adamw_8bit", "paged_adamw_32bit"])
def test_state_bytes_are_those_of_the_real_optimizer(name: str) -> None:
    sizes = [(16, 100), (300, 64), (4096,), (4095,), (257, 33)]
    parameters = [torch.nn.Parameter(torch.zeros(each)) for each in sizes]
    optimizer = build_optimizer(parameters, recipe_of(f"optimizer.name={name}").optimizer)
    real = {
        each.untyped_storage()._cdata: each.untyped_storage().nbytes()
        for each in state_of(optimizer)
    }
    assert state_bytes(name, [each.numel() for each in parameters]) == sum(real.values())


@pytest.mark.parametrize("size", [(64, 64), (896, 128), (100, 64), (4864, 896)])
def test_nf4_bytes_are_those_of_bitsandbytes(size: tuple[int, int]) -> None:
    from bitsandbytes.functional import quantize_4bit

    packed, state = quantize_4bit(
        torch.randn(size), blocksize=64, quant_type="nf4", compress_statistics=True
    )
    parts = [packed, state.absmax, state.code, state.offset, state.state2.absmax, state.state2.code]
    assert nf4_bytes(size[0] * size[1]) == sum(each.untyped_storage().nbytes() for each in parts)
