"""Optimizers start as new ones do, and the learning rate is a function of the step."""

from __future__ import annotations

import sys

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from lexitrain.errors import MissingExtra
from lexitrain.recipe.schema import OptimizerSection, ScheduleSection
from lexitrain.step import build_optimizer, learning_rate_at

NAMES = ["adamw", "adamw_8bit", "paged_adamw_8bit", "paged_adamw_32bit"]


def parameters() -> list[torch.nn.Parameter]:
    generator = torch.Generator().manual_seed(0)
    return [torch.nn.Parameter(torch.randn(64, 96, generator=generator)) for _ in range(2)]


def run(optimizer: torch.optim.Optimizer, weights: list[torch.nn.Parameter]) -> None:
    generator = torch.Generator().manual_seed(1)
    for _ in range(4):
        for weight in weights:
            weight.grad = torch.randn(weight.shape, generator=generator)
        optimizer.step()


@pytest.mark.parametrize("name", NAMES)
def test_state_is_allocated_and_the_weights_are_untouched(name: str):
    pytest.importorskip("bitsandbytes")
    weights = parameters()
    before = [weight.detach().clone() for weight in weights]
    optimizer = build_optimizer(weights, OptimizerSection(name=name, learning_rate=1e-2))  # pyright: ignore[reportArgumentType]
    assert all(torch.equal(a, b) for a, b in zip(before, weights, strict=True))
    assert len(optimizer.state) == 2
    assert all(int(state["step"]) == 0 for state in optimizer.state.values())
    assert all(weight.grad is None for weight in weights)
    assert [group["lr"] for group in optimizer.param_groups] == [1e-2]


@pytest.mark.parametrize("name", NAMES)
def test_training_goes_as_with_a_new_optimizer(name: str):
    """Allocating ahead leaves no trace: four steps end at the bytes of an optimizer that allocated as it went.

    On a CPU the paged variants are the unpaged ones.
    """
    pytest.importorskip("bitsandbytes")
    import bitsandbytes.optim as variants

    plain = {
        "adamw": lambda p, **k: torch.optim.AdamW(p, fused=True, **k),
        "adamw_8bit": variants.AdamW8bit,
        "paged_adamw_8bit": variants.AdamW8bit,
        "paged_adamw_32bit": variants.AdamW32bit,
    }[name]
    ours, theirs = parameters(), parameters()
    settings = OptimizerSection(name=name, learning_rate=1e-2)  # pyright: ignore[reportArgumentType]
    run(build_optimizer(ours, settings), ours)
    run(plain(theirs, lr=1e-2, betas=(0.9, 0.999), eps=1e-8, weight_decay=0.01), theirs)
    assert all(torch.equal(a, b) for a, b in zip(ours, theirs, strict=True))


def test_frozen_parameters_are_left_out():
    frozen, trained = parameters()
    frozen.requires_grad_(False)
    optimizer = build_optimizer([frozen, trained], OptimizerSection(name="adamw"))
    assert optimizer.param_groups[0]["params"] == [trained]


def test_missing_bitsandbytes_names_the_extra(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setitem(sys.modules, "bitsandbytes", None)
    monkeypatch.setitem(sys.modules, "bitsandbytes.optim", None)
    with pytest.raises(MissingExtra, match="bitsandbytes"):
        build_optimizer(parameters(), OptimizerSection(name="adamw_8bit"))


KINDS = st.sampled_from(["cosine", "linear", "constant"])


@given(KINDS, st.integers(1, 500), st.floats(0, 0.9))
def test_the_rate_rises_to_the_peak_and_never_again(kind: str, total: int, warmup: float):
    schedule = ScheduleSection(kind=kind, warmup=warmup)  # pyright: ignore[reportArgumentType]
    rates = [learning_rate_at(step, total, schedule, 2.0) for step in range(total)]
    top = rates.index(max(rates))
    assert all(0 < rate <= 2.0 for rate in rates)
    assert max(rates) == 2.0
    assert rates[: top + 1] == sorted(rates[: top + 1])
    assert rates[top:] == sorted(rates[top:], reverse=True)


def test_known_rates():
    cosine = ScheduleSection(kind="cosine", warmup=0.1)
    assert learning_rate_at(0, 100, cosine, 1.0) == pytest.approx(0.1)
    assert learning_rate_at(9, 100, cosine, 1.0) == pytest.approx(1.0)
    assert learning_rate_at(55, 100, cosine, 1.0) == pytest.approx(0.5)
    assert learning_rate_at(100, 100, cosine, 1.0) == pytest.approx(0.0)
    linear = ScheduleSection(kind="linear", warmup=0.0)
    assert learning_rate_at(0, 100, linear, 1.0) == 1.0
    assert learning_rate_at(75, 100, linear, 1.0) == pytest.approx(0.25)
    constant = ScheduleSection(kind="constant", warmup=0.0)
    assert learning_rate_at(99, 100, constant, 1.0) == 1.0
