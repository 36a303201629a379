"""Every layout, cut and checkpointing mode against a plain padded implementation by transformers alone.

fp32, dropout 0, B not zero (zero would make A's gradients zero): the loss and each LoRA tensor's gradient agree to a
relative 1e-5.
"""

from __future__ import annotations

from dataclasses import replace
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from lexitrain.batching import query_blocks as blocks_module
from lexitrain.batching.cuts import CutCost
from lexitrain.batching.layout import lay_out
from lexitrain.batching.micro_batch import IGNORED
from lexitrain.models import attach_adapter, load_base
from lexitrain.recipe.schema import LoraSection, ModelSection, OptimizerSection, StepSection
from lexitrain.samples.sample import Sample
from lexitrain.step import TrainingStep, build_optimizer
from tests.tiny import tiny_model

PAD = 1
MAX_LENGTH = 64
SAMPLES = 10


def random_samples(seed: int) -> list[Sample]:
    """Ten samples of three task-like prefixes that nest, two equal prompts, gaps in the supervision."""
    random = np.random.default_rng(seed)
    prefix = random.integers(2, 400, 24)
    samples: list[Sample] = []
    for index in range(SAMPLES):
        own = random.integers(2, 400, random.integers(1, 16))
        prompt = np.concatenate([prefix[: 8 * (1 + index % 3)], own])
        completion = random.integers(2, 400, random.integers(1, 14))
        supervised = random.random(len(completion)) < 0.8
        supervised[-1] = True
        if index == SAMPLES - 1:
            prompt = samples[0].prompt_ids
        samples.append(
            Sample(
                prompt.astype(np.int32), completion.astype(np.int32), supervised, "grammar", index
            )
        )
    return samples


def adapted_model(dropout: float = 0.0):
    model = attach_adapter(tiny_model(), LoraSection(rank=4, alpha=8, dropout=dropout), seed=3)
    generator = torch.Generator().manual_seed(4)
    for name, parameter in model.named_parameters():
        if "lora_B" in name:
            parameter.data.normal_(0, 0.1, generator=generator)
    return model


def training_step(model, **settings) -> TrainingStep:
    optimizer = build_optimizer(model.parameters(), OptimizerSection(name="adamw"))
    step = TrainingStep(
        model,
        optimizer,
        StepSection(head_chunk=7, **settings),
        max_length=MAX_LENGTH,
        pad_id=PAD,
        clip=1.0,
    )
    as_few_as_the_budget_allows = CutCost(pair=0, floor=0)
    step.step_layout = replace(step.step_layout, cost=as_few_as_the_budget_allows)
    return step


def gradients_of(model) -> dict[str, torch.Tensor]:
    return {n: p.grad.clone() for n, p in model.named_parameters() if p.grad is not None}


@cache
def plain_step(seed: int, loss: str) -> tuple[float, dict[str, torch.Tensor]]:
    """Loss and gradients of the adapted model as any trainer gets them."""
    return plain_gradients(adapted_model(), random_samples(seed), loss)


def plain_gradients(
    model: Any, samples: list[Sample], loss: str = "completion"
) -> tuple[float, dict[str, torch.Tensor]]:
    """Loss and gradients as any trainer gets them: rows padded to the longest, labels, the model's own loss."""
    longest = max(len(sample) for sample in samples)
    ids = torch.full((SAMPLES, longest), PAD)
    attended = torch.zeros(SAMPLES, longest, dtype=torch.long)
    labels = torch.full((SAMPLES, longest), -100)
    for row, sample in enumerate(samples):
        tokens = torch.from_numpy(np.concatenate([sample.prompt_ids, sample.completion_ids]))
        ids[row, : len(sample)] = tokens
        attended[row, : len(sample)] = 1
        scored = np.concatenate([np.zeros(len(sample.prompt_ids), bool), sample.supervised])
        if loss == "all_tokens":
            scored[:] = True
        labels[row, : len(sample)][torch.from_numpy(scored)] = tokens[scored].long()
    output = model.train()(input_ids=ids, attention_mask=attended, labels=labels, use_cache=False)
    output.loss.backward()
    return output.loss.item(), gradients_of(model)


def budget_for(samples: list[Sample], layout: str, cuts: int) -> int:
    """A token budget under which the layout falls into exactly so many cuts."""
    for budget in range(sum(map(len, samples)), 0, -1):
        batches = lay_out(
            samples,
            layout=layout,  # pyright: ignore[reportArgumentType]
            loss="completion",
            max_length=MAX_LENGTH,
            pad_id=PAD,
            token_budget=budget,
            cost=CutCost(pair=0, floor=0),
        )
        if len(batches) == cuts:
            return budget
    raise AssertionError(f"no budget gives {cuts} cuts")


def assert_equal_to_plain(step: TrainingStep, samples: list[Sample], seed: int, cuts: int):
    result = step.gradients(samples)
    loss, plain = plain_step(seed, step.settings.loss)
    assert result.cuts == cuts
    assert result.loss == pytest.approx(loss, rel=1e-5)
    found = gradients_of(step.model)
    assert found.keys() == plain.keys()
    for name, expected in plain.items():
        difference = torch.linalg.norm(found[name] - expected) / torch.linalg.norm(expected)
        assert difference <= 1e-5, name


@pytest.mark.parametrize("checkpointing", ["always", "never"])
@pytest.mark.parametrize("cuts", [1, 2, 5])
@pytest.mark.parametrize("layout", ["tree", "packed", "padded"])
@pytest.mark.parametrize("seed", [0, 1])
def test_completion_loss_and_gradients(seed: int, layout: str, cuts: int, checkpointing: str):
    samples = random_samples(seed)
    how = (
        {"micro_batch": SAMPLES // cuts}
        if layout == "padded"
        else {"token_budget": budget_for(samples, layout, cuts)}
    )
    step = training_step(
        adapted_model(), layout=layout, gradient_checkpointing=checkpointing, **how
    )
    assert_equal_to_plain(step, samples, seed, cuts)


@pytest.mark.parametrize("layout", ["tree", "packed", "padded"])
def test_attention_in_one_call_and_in_blocks_is_the_same(layout: str, monkeypatch):
    """Also with blocks so short that samples fall into several, and with a trunk that costs nothing."""
    samples = random_samples(0)
    for kind, wide, call, merge in (
        ("dense", 1, 0.0, 0.0),
        ("blocks", 192, 1000.0, 25.0),
        ("blocks", 5, 20.0, 0.0),
        ("blocks", 5, 20.0, -1e3),
    ):
        monkeypatch.setattr(blocks_module, "_WIDE", wide)
        monkeypatch.setattr(blocks_module, "_CALL", call)
        monkeypatch.setattr(blocks_module, "_MERGE", merge)
        step = training_step(adapted_model(), layout=layout, attention=kind)
        (batch,) = step.lay_out(samples)
        if layout != "padded":
            assert (
                len(batch.blocks) == 0 if kind == "dense" else len(batch.blocks) > 192 // wide // 10
            )
        assert (batch.trunk > 0) == (merge < 0 and layout == "tree")
        assert_equal_to_plain(step, samples, 0, 1)


@pytest.mark.parametrize("cuts", [1, 5])
@pytest.mark.parametrize("layout", ["packed", "padded"])
def test_all_tokens_loss_and_gradients(layout: str, cuts: int):
    step = training_step(
        adapted_model(), layout=layout, loss="all_tokens", micro_batch=SAMPLES // cuts
    )
    assert_equal_to_plain(step, random_samples(0), 0, cuts)


@pytest.mark.parametrize(("dtype", "cuts"), [("bfloat16", 1), ("float16", 1), ("float16", 5)])
def test_half_precision_gradients_are_those_of_padded_rows(dtype: str, cuts: int):
    """2e-2 of the whole gradient; what half precision itself costs, against fp32, is more."""
    samples = random_samples(0)

    def gradient(compute: torch.dtype, **settings) -> torch.Tensor:
        model = adapted_model()
        for parameter in model.parameters():
            if not parameter.requires_grad:
                parameter.data = parameter.data.to(getattr(torch, dtype)).to(compute)
        training_step(model, **settings).gradients(samples)
        found = gradients_of(model).values()
        assert all(each.dtype == torch.float32 for each in found)
        return torch.cat([each.flatten() for each in found])

    half = getattr(torch, dtype)
    tree = gradient(half, layout="tree", token_budget=budget_for(samples, "tree", cuts))
    padded = gradient(half, layout="padded", attention="dense")
    exact = gradient(torch.float32, layout="padded", attention="dense")
    size = torch.linalg.norm(exact)
    assert torch.linalg.norm(tree - padded) <= 2e-2 * size
    assert torch.linalg.norm(tree - exact) <= 4e-2 * size


def test_the_validation_loss_is_the_steps_loss():
    samples = random_samples(0)
    step = training_step(adapted_model(), layout="tree", token_budget=60)
    total, supervised = step.loss(samples)
    assert total / supervised == pytest.approx(plain_step(0, "completion")[0], rel=1e-5)
    assert supervised == sum(int(sample.supervised.sum()) for sample in samples)
    assert not gradients_of(step.model)


def test_buckets_change_nothing():
    """Pads see themselves only, so a padded row has no empty softmax and the same gradient."""
    samples = random_samples(0)
    step = training_step(adapted_model(), layout="tree")
    batches = lay_out(
        samples,
        layout="tree",
        loss="completion",
        max_length=MAX_LENGTH,
        pad_id=PAD,
        token_budget=128,
        bucket=64,
    )
    assert any((batch.tokens == PAD).any() for batch in batches)  # no sample holds that token
    result = step.gradients(samples, batches)
    loss, plain = plain_step(0, "completion")
    assert result.loss == pytest.approx(loss, rel=1e-5)
    for name, found in gradients_of(step.model).items():
        assert torch.linalg.norm(found - plain[name]) <= 1e-5 * torch.linalg.norm(plain[name])


def test_the_same_step_gives_the_same_bytes():
    samples = random_samples(0)

    def weights_after_three_steps() -> dict[str, torch.Tensor]:
        step = training_step(adapted_model(), layout="tree", token_budget=80)
        for _ in range(3):
            step.gradients(samples)
            step.update(1e-2)
        return {n: p.detach().clone() for n, p in step.model.named_parameters() if p.requires_grad}

    first, second = weights_after_three_steps(), weights_after_three_steps()
    assert all(torch.equal(first[name], second[name]) for name in first)


def test_an_update_clips_reports_and_lowers_the_loss():
    samples = random_samples(0)
    step = training_step(adapted_model(), layout="tree")
    before = step.gradients(samples)
    norm = step.update(1e-2)
    _, plain = plain_step(0, "completion")
    assert norm == pytest.approx(
        sum(float(g.square().sum()) for g in plain.values()) ** 0.5, rel=1e-4
    )
    clipped = sum(float(g.square().sum()) for g in gradients_of(step.model).values()) ** 0.5
    assert clipped == pytest.approx(min(norm, 1.0), rel=1e-4)
    assert step.gradients(samples).loss < before.loss


def test_dropout_is_drawn_in_training_and_off_in_validation():
    samples = random_samples(0)
    step = training_step(adapted_model(dropout=0.5), layout="tree")
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        first, second = step.gradients(samples).loss, step.gradients(samples).loss
        assert first != second
    assert step.loss(samples) == step.loss(samples)


def test_labels_outside_the_loss_are_not_counted():
    samples = random_samples(0)
    step = training_step(adapted_model(), layout="padded", loss="all_tokens")
    (batch,) = step.lay_out(samples)
    assert (batch.labels == IGNORED).sum() == SAMPLES * MAX_LENGTH - batch.supervised_tokens
    assert step.gradients(samples).supervised_tokens == sum(len(s) - 1 for s in samples)


def test_a_4_bit_base_trains_after_a_validation(tmp_path: Path):
    """The loss falls, and a validation in between changes no gradient."""
    pytest.importorskip("bitsandbytes")
    tiny_model(hidden=128).save_pretrained(tmp_path)
    base = load_base(
        ModelSection(base=str(tmp_path), quantization="nf4"),
        device=torch.device("cpu"),
        dtype=torch.float32,
    )
    model = attach_adapter(base, LoraSection(rank=4, alpha=8), seed=3)
    step, samples = training_step(model, layout="tree", token_budget=80), random_samples(0)
    before = step.gradients(samples).loss
    first = gradients_of(model)
    assert step.loss(samples)[0] / step.loss(samples)[1] == pytest.approx(before, rel=1e-5)
    step.gradients(samples)
    assert all(torch.equal(first[name], found) for name, found in gradients_of(model).items())
    for _ in range(5):
        step.update(1e-2)
        after = step.gradients(samples).loss
    assert after < before
