"""All tensors moved at once end at the numbers of each moved for itself, in the same form on the disk."""

from __future__ import annotations

from collections import Counter
from typing import Any

import pytest
import torch
from torch.nn import Parameter
from torch.utils._python_dispatch import TorchDispatchMode

from lexitrain.recipe.schema import OptimizerSection
from lexitrain.step import FlatOptimizer, build_optimizer
from tests.step.decoder_layer.bases import adapted, step_of
from tests.step.test_equality import random_samples

NAMES = ["adamw", "adamw_8bit", "paged_adamw_8bit", "paged_adamw_32bit"]

SHAPES = [
    (8, 600),
    (8, 600),
    (8, 601),
    (900, 8),
    (128, 8),
    (700, 8),
    (8, 1),
    (4096,),
    (4095,),
    (41, 257),
]
"""Below and above 4,096 numbers, whole blocks of 256 and not."""


def tensors() -> list[tuple[str, Parameter]]:
    generator = torch.Generator().manual_seed(0)
    return [
        (
            f"layer.{index}.lora_{'AB'[index % 2]}",
            Parameter(torch.randn(shape, generator=generator)),
        )
        for index, shape in enumerate(SHAPES)
    ]


def section(name: str, **settings: Any) -> OptimizerSection:
    return OptimizerSection(name=name, weight_decay=0.1, **settings)  # pyright: ignore[reportArgumentType]


def each_for_itself(name: str, named: list[tuple[str, Parameter]], ratio: float) -> Any:
    """The optimizer as its package makes it, over single tensors."""
    shared: Any = {"lr": 1.0, "betas": (0.9, 0.999), "eps": 1e-8, "weight_decay": 0.1}
    groups = [
        {"params": [each for n, each in named if "lora_A" in n], "times": 1.0},
        {"params": [each for n, each in named if "lora_B" in n], "times": ratio},
    ]
    if name == "adamw":
        return torch.optim.AdamW(groups, fused=True, **shared)
    import bitsandbytes.optim as variants

    made: Any = variants
    return (made.AdamW8bit if name.endswith("8bit") else made.AdamW32bit)(groups, **shared)


def moved(
    optimizer: Any, named: list[tuple[str, Parameter]], steps: range, without: Any = ()
) -> None:
    """Steps with random gradients; those numbered in `without` leave out tensors 2 and 7."""
    for step in steps:
        generator = torch.Generator().manual_seed(step)
        for index, (_, each) in enumerate(named):
            gradient = torch.randn(each.shape, generator=generator) * 10.0 ** (step % 3 - 2)
            each.grad = None if step in without and index in {2, 7} else gradient
        for group in optimizer.param_groups:
            group["lr"] = 1e-2 / (1 + step) * group.get("times", group.get("rate_ratio", 1.0))
        optimizer.step()


def assert_same(ours: Any, theirs: Any, one: Any, other: Any) -> None:
    """Bit for bit; but for the last numbers of tensors that are no multiple of 16 long, which PyTorch's AdamW computes
    one by one when they end its vector, and together with others when they do not: these to rounding."""

    def same(found: torch.Tensor, wanted: torch.Tensor) -> bool:
        whole = found.numel() - found.numel() % 16
        found, wanted = found.detach().flatten(), wanted.detach().flatten()
        near = torch.allclose(found[whole:].float(), wanted[whole:].float(), rtol=1e-6, atol=1e-12)
        if not isinstance(theirs, torch.optim.AdamW):
            return torch.equal(found, wanted)
        return near and torch.equal(found[:whole], wanted[:whole])

    for (name, mine), (_, plain) in zip(one, other, strict=True):
        assert same(mine, plain), name
        found, wanted = ours.state[mine], theirs.state[plain]
        assert found.keys() == wanted.keys()
        for key, value in wanted.items():
            if isinstance(value, torch.Tensor):
                assert found[key].shape == value.shape
                assert found[key].dtype == value.dtype
                assert same(found[key], value), (name, key)
            else:
                assert found[key] == value


@pytest.mark.parametrize("ratio", [1.0, 4.0])
@pytest.mark.parametrize("name", NAMES)
def test_weights_and_state_are_those_of_single_tensors(name: str, ratio: float) -> None:
    pytest.importorskip("bitsandbytes")
    one, other = tensors(), tensors()
    ours = build_optimizer(one, section(name, lora_plus=ratio))
    theirs = each_for_itself(name, other, ratio)
    moved(ours, one, range(12))
    moved(theirs, other, range(12))
    assert_same(ours, theirs, one, other)


@pytest.mark.parametrize("name", ["adamw_8bit", "paged_adamw_8bit"])
def test_quantization_maps_as_long_as_the_scales_are_still_shared(name: str) -> None:
    """65,536 numbers have 256 scales, and a map has 256 numbers."""
    pytest.importorskip("bitsandbytes")

    def four() -> list[tuple[str, Parameter]]:
        generator = torch.Generator().manual_seed(0)
        return [
            (f"{index}.lora_A", Parameter(torch.randn(8, 2048, generator=generator)))
            for index in range(4)
        ]

    one, other = four(), four()
    ours, theirs = build_optimizer(one, section(name)), each_for_itself(name, other, 1.0)
    for steps, without in ((range(3), ()), (range(3, 6), {4})):
        moved(ours, one, steps, without)
        moved(theirs, other, steps, without)
        assert_same(ours, theirs, one, other)


@pytest.mark.parametrize("name", NAMES)
def test_a_tensor_without_a_gradient_is_left_alone(name: str) -> None:
    pytest.importorskip("bitsandbytes")
    one, other = tensors(), tensors()
    ours, theirs = build_optimizer(one, section(name)), each_for_itself(name, other, 1.0)
    moved(ours, one, range(9), without={4, 6})
    moved(theirs, other, range(9), without={4, 6})
    assert_same(ours, theirs, one, other)


def test_a_step_without_any_gradient_does_nothing() -> None:
    one = tensors()
    before = [each.detach().clone() for _, each in one]
    optimizer = build_optimizer(one, section("adamw"))
    optimizer.step()
    assert all(torch.equal(a, each) for a, (_, each) in zip(before, one, strict=True))


@pytest.mark.parametrize("name", NAMES)
def test_another_order_changes_no_number(name: str) -> None:
    pytest.importorskip("bitsandbytes")
    one, other = tensors(), tensors()
    ours, theirs = build_optimizer(one, section(name)), each_for_itself(name, other, 1.0)
    moved(ours, one, range(5))
    places = {id(each): -index for index, (_, each) in enumerate(one)}
    ours.arrange(lambda each: places[id(each)])
    assert ours.param_groups[0]["params"][0] is one[-1][1]
    moved(ours, one, range(5, 9))
    moved(theirs, other, range(9))
    assert_same(ours, theirs, one, other)


def test_gradients_between_tensors_are_zero() -> None:
    pytest.importorskip("bitsandbytes")
    one = tensors()
    optimizer = build_optimizer(one, section("adamw_8bit"))
    moved(optimizer, one, range(6))
    flat = optimizer.flat
    between = torch.ones(flat.size, dtype=torch.bool)
    for part in flat.parts:
        between[part.start : part.end] = False
    assert between.any()
    assert not flat.collected()[between].any()


def test_tensors_that_are_given_other_memory_are_taken_in_again() -> None:
    one, other = tensors(), tensors()
    ours, theirs = build_optimizer(one, section("adamw")), each_for_itself("adamw", other, 1.0)
    moved(ours, one, range(3))
    for _, each in one:
        each.data = each.data.clone()
    moved(ours, one, range(3, 6))
    moved(theirs, other, range(6))
    assert_same(ours, theirs, one, other)


class Called(TorchDispatchMode):
    """Counts operators, and those that wait for the device among them."""

    def __init__(self) -> None:
        super().__init__()
        self.count: Counter[str] = Counter()

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        if not func.is_view and func.overloadpacket.__name__ != "detach":
            self.count[func.overloadpacket.__name__] += 1
        return func(*args, **(kwargs or {}))


WAITS = ("_local_scalar_dense", "item", "nonzero", "is_nonzero", "equal")


@pytest.mark.parametrize("name", NAMES)
def test_an_update_is_at_most_ten_operators_and_waits_once(
    name: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Norm, loss, clipping and update; bitsandbytes' own wait for each tensor is not called."""
    package = pytest.importorskip("bitsandbytes.optim.optimizer")
    waited = 0

    def wait(_tensor: Any) -> None:
        nonlocal waited
        waited += 1

    model = adapted("qwen2", rank=128, depth=3)  # some tensors above 4,096 numbers, some below
    step = step_of(model, layout="tree")
    step.optimizer = build_optimizer(model.named_parameters(), section(name))
    step.adapter = step.optimizer.flat
    step = type(step)(model, step.optimizer, step.settings, max_length=64, pad_id=1, clip=1e-3)
    sizes = {each.numel() >= 4096 for each in step.parameters}
    assert sizes == {True, False}
    samples = random_samples(0)
    step.gradients(samples)
    step.update(1e-3)
    total = step.accumulate(step.lay_out(samples), 10)
    monkeypatch.setattr(package, "sync_gpu", wait)
    called = Called()
    with called:
        _, step.grad_norm = step._read(total, 10)
        assert step.grad_norm > step.clip
        step.update(1e-3)
    assert waited == 0
    # The copy of loss and norm to the host is the step's one wait: on a CPU it is `tolist`, without an operator.
    assert sum(called.count[name] for name in WAITS) <= 1
    assert called.count.total() <= 10, called.count


def test_the_shipped_optimizers_are_flat() -> None:
    for name in NAMES:
        if name != "adamw":
            pytest.importorskip("bitsandbytes")
        assert isinstance(build_optimizer(tensors(), section(name)), FlatOptimizer)


@pytest.mark.parametrize("name", NAMES)
def test_state_that_is_put_back_goes_on_bit_for_bit(name: str) -> None:
    """As a checkpoint does it, tensor by tensor; what lies between tensors is in none."""
    pytest.importorskip("bitsandbytes")
    one, other = tensors(), tensors()
    ours = build_optimizer(one, section(name))
    moved(ours, one, range(5))
    again = build_optimizer(other, section(name))
    for (_, mine), (_, theirs) in zip(one, other, strict=True):
        theirs.data.copy_(mine.data)
        for key, value in ours.state[mine].items():
            if isinstance(value, torch.Tensor):
                again.state[theirs][key].copy_(value)
            else:
                again.state[theirs][key] = value
    moved(ours, one, range(5, 9))
    moved(again, other, range(5, 9))
    for (_, mine), (_, theirs) in zip(one, other, strict=True):
        assert torch.equal(mine, theirs)
        for key, value in ours.state[mine].items():
            assert torch.equal(torch.as_tensor(again.state[theirs][key]), torch.as_tensor(value))
