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
