"""The chunked head against the plain cross-entropy."""

from __future__ import annotations

import pytest
import torch

from lexitrain.batching.micro_batch import IGNORED
from lexitrain.errors import InputError
from lexitrain.models import attach_adapter
from lexitrain.recipe.schema import LoraSection, OptimizerSection, StepSection
from lexitrain.step import TrainingStep, build_optimizer
from lexitrain.step.output_head import sum_of_token_losses
from tests.tiny import tiny_model


def problem(dtype: torch.dtype = torch.float32):
    generator = torch.Generator().manual_seed(0)
    hidden = torch.randn(13, 8, generator=generator).to(dtype).requires_grad_()
    weight = torch.randn(50, 8, generator=generator).to(dtype)
    labels = torch.randint(0, 50, (13,), generator=generator)
    labels[[2, 12]] = IGNORED
    return hidden, weight, labels


@pytest.mark.parametrize("chunk", [1, 4, 13, 100])
def test_loss_and_gradient_are_the_plain_ones(chunk: int):
    hidden, weight, labels = problem()
    plain = torch.nn.functional.cross_entropy(
        hidden @ weight.T, labels, ignore_index=IGNORED, reduction="sum"
    )
    (expected,) = torch.autograd.grad(plain / 11, hidden)
    loss = sum_of_token_losses(hidden, weight, labels, chunk)
    (found,) = torch.autograd.grad(loss / 11, hidden)
    torch.testing.assert_close(loss, plain, rtol=1e-6, atol=0)
    torch.testing.assert_close(found, expected, rtol=1e-5, atol=1e-7)


def test_half_precision_is_compared_in_fp32():
    hidden, weight, labels = problem(torch.bfloat16)
    logits = (hidden.detach() @ weight.T).float()
    plain = torch.nn.functional.cross_entropy(logits, labels, ignore_index=IGNORED, reduction="sum")
    loss = sum_of_token_losses(hidden, weight, labels, 4)
    assert loss.dtype is torch.float32
    torch.testing.assert_close(loss.detach(), plain, rtol=1e-6, atol=0)


def test_no_position_is_a_loss_of_zero():
    hidden, weight, labels = problem()
    assert sum_of_token_losses(hidden[:0], weight, labels[:0], 4).item() == 0


def test_a_trainable_head_is_refused():
    model = attach_adapter(tiny_model(), LoraSection(rank=2, alpha=4), seed=0)
    model.get_base_model().lm_head.weight.requires_grad_(True)
    optimizer = build_optimizer(model.parameters(), OptimizerSection(name="adamw"))
    with pytest.raises(InputError, match="output head is trainable"):
        TrainingStep(model, optimizer, StepSection(), max_length=64, pad_id=1, clip=1.0)


def test_logits_that_are_changed_by_a_formula_are_refused():
    model = attach_adapter(tiny_model(), LoraSection(rank=2, alpha=4), seed=0)
    model.get_base_model().config.logit_scale = "inv_sqrt_d_model"
    optimizer = build_optimizer(model.parameters(), OptimizerSection(name="adamw"))
    with pytest.raises(InputError, match="logit_scale"):
        TrainingStep(model, optimizer, StepSection(), max_length=64, pad_id=1, clip=1.0)


def test_a_base_that_cannot_recompute_is_refused_where_it_has_to(monkeypatch):
    model = attach_adapter(tiny_model(), LoraSection(rank=2, alpha=4), seed=0)
    monkeypatch.setattr(type(model.get_base_model()), "supports_gradient_checkpointing", False)
    optimizer = build_optimizer(model.parameters(), OptimizerSection(name="adamw"))
    settings = StepSection(gradient_checkpointing="always")
    with pytest.raises(InputError, match="cannot compute its activations again"):
        TrainingStep(model, optimizer, settings, max_length=64, pad_id=1, clip=1.0)


@pytest.mark.parametrize("vocabulary", [32_000, 151_936])
@pytest.mark.parametrize("supervised", [1, 60, 1500])
def test_fp16_gradients_of_sure_predictions_are_right(vocabulary: int, supervised: int):
    """The target has probability 0.9999, as tokens of JSON have late in training."""
    generator = torch.Generator().manual_seed(0)
    positions, size = 8, 64
    weight = (0.05 * torch.randn(vocabulary, size, generator=generator)).half()
    hidden = torch.randn(positions, size, generator=generator).half()
    labels = torch.randint(0, vocabulary, (positions,), generator=generator)
    # Each target's row of the head is given what its logit lacks, along its own position.
    for row, label in enumerate(labels.tolist()):
        logits = hidden[row].double() @ weight.double().T
        others = torch.cat([logits[:label], logits[label + 1 :]]).logsumexp(0)
        lacks = others + 9.21 - logits[label]  # log(0.9999 / 0.0001)
        weight[label] += (lacks * hidden[row].double() / hidden[row].double().square().sum()).half()
    # Of the logits as a CPU rounds them; a GPU's product gives them in fp32.
    logits = (hidden @ weight.T).double()
    wrong = logits.softmax(-1)
    wrong[torch.arange(positions), labels] -= 1
    assert 0.00005 < float(-wrong[torch.arange(positions), labels].mean()) < 0.0004
    wanted = wrong @ weight.double()
    value = 65_536.0 / supervised
    half = hidden.requires_grad_()
    found = sum_of_token_losses(half, weight, labels, positions, factor=torch.tensor(value))
    (gradient,) = torch.autograd.grad(found, half)
    error = torch.linalg.norm(gradient.double() / value - wanted) / torch.linalg.norm(wanted)
    assert error <= 1e-3
    (plain,) = torch.autograd.grad(sum_of_token_losses(half, weight, labels, positions), half)
    assert torch.linalg.norm(plain.double() - wanted) <= 3e-2 * torch.linalg.norm(wanted)


def test_the_largest_factor_overflows_nothing_by_itself():
    """2**24 is no number of fp16; the gradient of a sure prediction, times it, is."""
    hidden, weight, labels = problem(torch.float16)
    with torch.no_grad():
        weight *= 1e-3
    scale = torch.tensor(2.0**24)
    loss = sum_of_token_losses(hidden, weight, labels, 4, factor=scale)
    (found,) = torch.autograd.grad(loss, hidden)
    (plain,) = torch.autograd.grad(sum_of_token_losses(hidden, weight, labels, 4), hidden)
    assert torch.isfinite(found).all()
    wanted = plain.float() * scale
    assert torch.linalg.norm(found.float() - wanted) <= 2e-2 * torch.linalg.norm(wanted)


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16, torch.float16])
def test_a_factor_is_that_of_the_gradient_alone(dtype: torch.dtype):
    hidden, weight, labels = problem(dtype)
    plain = sum_of_token_losses(hidden, weight, labels, 4)
    scaled = sum_of_token_losses(hidden, weight, labels, 4, factor=torch.tensor(0.375))
    assert torch.equal(plain, scaled)
    (wanted,) = torch.autograd.grad(plain * 0.375, hidden)
    (found,) = torch.autograd.grad(scaled, hidden)
    torch.testing.assert_close(
        found, wanted, rtol=1e-2 if dtype is not torch.float32 else 1e-6, atol=1e-6
    )
