"""How many operators a layer and a cut start on a GPU, counted as the rehearsal counts them."""

from __future__ import annotations

from collections import Counter
from typing import Any

import pytest
from torch.utils._python_dispatch import TorchDispatchMode

from lexitrain.models.architecture import architecture_of
from lexitrain.planning.rehearsal.cut_shape import CutShape, blank_micro_batch
from lexitrain.planning.rehearsal.fake_step import build_fake_step
from lexitrain.planning.rehearsal.kernels import device_kernels
from lexitrain.planning.rehearsal.target import Target
from lexitrain.recipe.yaml_file import load_recipe

_NOTHING = ("empty", "new_empty", "lift_fresh", "detach", "_unsafe_view")
"""Operators that start no work on a device."""


class Started(TorchDispatchMode):
    """Counts the operators that start work."""

    def __init__(self) -> None:
        super().__init__()
        self.count: Counter[str] = Counter()

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        name = func.overloadpacket.__name__
        if not func.is_view and not name.startswith(_NOTHING):
            self.count[name] += 1
        return func(*args, **(kwargs or {}))


def started(base: str, target: Target, layers: int, cut: CutShape, *, own: bool = False) -> int:
    """Operators of a cut, forward and backward, on a base with so many layers."""
    recipe = load_recipe(
        "fast", ["model.quantization=none", "step.gradient_checkpointing=never", "lora.rank=16"]
    )
    fake = build_fake_step(architecture_of(base), recipe, target, layers)
    fake.step.own_layers = own
    fake.step.begin(training=True)
    factor, seen = fake.step.loss_factor(1), Started()
    with seen, device_kernels(target):
        fake.step.add_gradients(blank_micro_batch(cut), factor)
    return seen.count.total()


def layer_and_rest(
    base: str, target: Target, cut: CutShape, *, own: bool = False
) -> tuple[int, int]:
    two, three = (started(base, target, layers, cut, own=own) for layers in (2, 3))
    return three - two, two - 2 * (three - two)


ROW = CutShape(1, 512, 200)


@pytest.mark.parametrize("dtype", ["fp16", "bf16", "fp32"])
def test_a_layer_starts_at_most_seventy_and_the_rest_forty(dtype: Any) -> None:
    layer, rest = layer_and_rest("Qwen/Qwen2.5-0.5B", Target("cuda", dtype, "dense"), ROW)
    assert layer <= 70
    assert rest <= 40


def test_by_its_own_code_a_layer_starts_three_times_as_many() -> None:
    target = Target("cuda", "fp16", "dense")
    own, _ = layer_and_rest("Qwen/Qwen2.5-0.5B", target, ROW, own=True)
    layer, _ = layer_and_rest("Qwen/Qwen2.5-0.5B", target, ROW)
    assert own >= 2.8 * layer


def test_norms_of_heads_add_a_few() -> None:
    layer, rest = layer_and_rest("Qwen/Qwen3-0.6B", Target("cuda", "fp16", "dense"), ROW)
    assert layer <= 75
    assert rest <= 40


def test_blocks_add_what_their_calls_are() -> None:
    """On a CPU a norm is eight operators forward and nine backward, and each block a call of the kernel."""
    target = Target("cpu", "fp32", "blocks")
    cut = CutShape(1, 300, 60, ((192, 192), (58, 100), (50, 150)))
    layer, _ = layer_and_rest("Qwen/Qwen2.5-0.5B", target, cut)
    own, _ = layer_and_rest("Qwen/Qwen2.5-0.5B", target, cut, own=True)
    assert layer < 0.65 * own


def test_the_rehearsal_counts_the_same() -> None:
    from lexitrain.planning.rehearsal.rehearse import rehearse

    target = Target("cuda", "fp16", "dense")
    recipe = load_recipe(
        "fast", ["model.quantization=none", "step.gradient_checkpointing=never", "lora.rank=16"]
    )
    found = rehearse(architecture_of("Qwen/Qwen2.5-0.5B"), recipe, target, [ROW])
    launches = sum(work.launches for work in found.operations if work.phase != "update")
    layer, rest = layer_and_rest("Qwen/Qwen2.5-0.5B", target, ROW)
    views = 24  # `_unsafe_view`, which the rehearsal takes for an operator
    assert abs(launches - (24 * layer + rest)) <= views
