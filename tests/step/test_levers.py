"""The levers of learning in a step: its gradients are those of stock PEFT on padded rows, its rates those of LoRA+."""

from __future__ import annotations

from itertools import product
from typing import Any

import pytest
import torch
from peft import LoraConfig, get_peft_model
from peft.optimizers import create_loraplus_optimizer

from lexitrain.models import attach_adapter
from lexitrain.recipe.schema import PROJECTIONS, LoraSection, OptimizerSection, StepSection
from lexitrain.step import TrainingStep, build_optimizer
from tests.step.test_equality import (
    MAX_LENGTH,
    PAD,
    gradients_of,
    plain_gradients,
    random_samples,
    training_step,
)
from tests.tiny import tiny_model

# PEFT asks transformers for a property that has a new name.
pytestmark = pytest.mark.filterwarnings("ignore:.is_gradient_checkpointing:FutureWarning")


def levered(**settings: Any) -> Any:
    """An adapter that begins as `settings` say and has moved a little, so that no gradient is zero."""
    model = attach_adapter(tiny_model(), LoraSection(rank=4, alpha=8, **settings), seed=3)
    generator = torch.Generator().manual_seed(4)
    for name, parameter in model.named_parameters():
        if "lora_" in name:
            parameter.data.add_(0.05 * torch.randn(parameter.shape, generator=generator))
    return model


def stock(model: Any, **settings: Any) -> Any:
    """The same weights, adapter and base, under PEFT's own forward pass."""
    config = LoraConfig(
        r=4,
        lora_alpha=8,
        target_modules=list(PROJECTIONS),
        use_rslora=settings.get("scaling") == "rslora",
        layers_to_transform=list(settings.get("layers", ())) or None,
    )
    theirs = get_peft_model(tiny_model(), config)
    theirs.load_state_dict(model.state_dict())
    return theirs


@pytest.mark.parametrize("checkpointing", ["always", "never"])
@pytest.mark.parametrize(
    ("init", "scaling", "layers"),
    [
        *product(("default", "orthogonal", "pissa", "olora"), ("standard", "rslora"), [()]),
        ("default", "standard", (0,)),
        ("default", "standard", (1,)),
        ("pissa", "rslora", (1,)),
    ],
)
def test_gradients_are_those_of_stock_peft_on_padded_rows(
    init: str, scaling: str, layers: tuple[int, ...], checkpointing: str
) -> None:
    settings = {"init": init, "scaling": scaling, "layers": layers}
    model, samples = levered(**settings), random_samples(0)
    loss, plain = plain_gradients(stock(model, **settings), samples)
    step = training_step(
        model, layout="tree", token_budget=80, gradient_checkpointing=checkpointing
    )
    assert step.gradients(samples).loss == pytest.approx(loss, rel=1e-5)
    found = gradients_of(model)
    assert found.keys() == plain.keys()
    assert len(found) == 2 * len(PROJECTIONS) * (len(layers) or 2)
    for name, gradient in found.items():
        assert torch.linalg.norm(plain[name]) > 0
        assert torch.linalg.norm(gradient - plain[name]) <= 1e-5 * torch.linalg.norm(plain[name])


def three_steps(settings: OptimizerSection) -> Any:
    model = levered()
    step = TrainingStep(
        model,
        build_optimizer(model.named_parameters(), settings),
        StepSection(layout="tree"),
        max_length=MAX_LENGTH,
        pad_id=PAD,
        clip=1e9,
    )
    for rate in (1e-3, 2e-3, 5e-4):
        step.gradients(random_samples(0))
        step.update(rate)
    return model


def trained(model: Any) -> dict[str, torch.Tensor]:
    return {name: each.detach() for name, each in model.named_parameters() if each.requires_grad}


@pytest.mark.parametrize("ratio", [1, 4, 16])
def test_lora_plus_is_adamw_of_two_groups(ratio: int) -> None:
    """Against a loop written by hand and against PEFT's own optimizer, byte for byte."""
    settings = OptimizerSection(name="adamw", lora_plus=ratio, weight_decay=0.1)
    ours = trained(three_steps(settings))

    def by_hand(make: Any) -> dict[str, torch.Tensor]:
        model = levered()
        step = training_step(model, layout="tree")
        optimizer, rates = make(model)
        for rate in (1e-3, 2e-3, 5e-4):
            step.gradients(random_samples(0))
            for group, times in zip(optimizer.param_groups, rates, strict=True):
                group["lr"] = rate * times
            optimizer.step()
        return trained(model)

    def two_groups(model: Any) -> Any:
        of = {
            key: [p for name, p in model.named_parameters() if key in name]
            for key in ("lora_A", "lora_B")
        }
        groups = [{"params": of["lora_A"]}, {"params": of["lora_B"]}]
        return torch.optim.AdamW(groups, lr=1.0, weight_decay=0.1, fused=True), (1, ratio)

    def pefts(model: Any) -> Any:
        optimizer = create_loraplus_optimizer(
            model,
            torch.optim.AdamW,
            lr=1.0,
            loraplus_lr_ratio=ratio,
            loraplus_weight_decay=0.1,
            fused=True,
        )
        return optimizer, [group["lr"] for group in optimizer.param_groups]

    for theirs in (by_hand(two_groups), by_hand(pefts)):
        assert ours.keys() == theirs.keys()
        assert all(torch.equal(ours[name], theirs[name]) for name in ours)


@pytest.mark.parametrize("name", ["adamw", "adamw_8bit", "paged_adamw_8bit", "paged_adamw_32bit"])
def test_every_optimizer_has_the_two_rates(name: str) -> None:
    """With the ratio all B matrices go another way, and A's first step is that of one rate."""
    if name != "adamw":
        pytest.importorskip("bitsandbytes")
    weights = [torch.nn.Parameter(torch.full((64, 96), 0.5)) for _ in range(2)]
    named = [("x.lora_A.weight", weights[0]), ("x.lora_B.weight", weights[1])]
    optimizer = build_optimizer(
        named,
        OptimizerSection(name=name, lora_plus=4, weight_decay=0, learning_rate=1e-2),  # pyright: ignore[reportArgumentType]
    )
    assert [group["lr"] for group in optimizer.param_groups] == [1e-2, 4e-2]
    for weight in weights:
        weight.grad = torch.ones_like(weight)
    optimizer.step()
    slow, fast = (float((0.5 - each.detach()).mean()) for each in weights)
    assert slow == pytest.approx(1e-2, rel=1e-3)
    assert fast == pytest.approx(4e-2, rel=1e-3)


def test_two_rates_need_names() -> None:
    with pytest.raises(ValueError, match="names"):
        build_optimizer(levered().parameters(), OptimizerSection(name="adamw", lora_plus=4))
