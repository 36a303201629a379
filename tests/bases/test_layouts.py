"""Loss and every gradient in each offered layout against the family's own plain forward pass, a sample at a time."""

from __future__ import annotations

from functools import cache

import pytest
import torch

from lexitrain.errors import ModelError
from lexitrain.models.families import EVERY_LAYOUT, only_dense
from lexitrain.recipe.schema import OptimizerSection, StepSection
from lexitrain.step import TrainingStep, build_optimizer
from tests.bases.families import FAMILIES, VOCABULARY, WINDOW, adapted_base, tiny_samples

PROVEN = sorted(EVERY_LAYOUT)
OTHERS = sorted(set(FAMILIES) - EVERY_LAYOUT)

pytestmark = pytest.mark.filterwarnings("ignore")  # of the families' own code


@cache
def plain(family: str, dtype: torch.dtype = torch.float32) -> tuple[float, dict[str, torch.Tensor]]:
    """Mean loss and gradients from transformers alone."""
    model = adapted_base(family, own_attention=True).to(dtype)
    samples = tiny_samples()
    count = sum(int(sample.supervised.sum()) for sample in samples)
    total = 0.0
    for sample in samples:
        tokens = torch.tensor(sample.token_ids).long()
        logits = model(input_ids=tokens[None], use_cache=False).logits[0].to(dtype)
        scored = len(sample.prompt_ids) + torch.tensor(sample.supervised).nonzero()[:, 0]
        loss = torch.nn.functional.cross_entropy(
            logits[scored - 1], tokens[scored], reduction="sum"
        )
        (loss / count).backward()
        total += loss.item()
    found = {n: p.grad for n, p in model.named_parameters() if p.grad is not None}
    return total / count, found


def assert_plain(family: str, **settings: object) -> None:
    model = adapted_base(family)
    step = TrainingStep(
        model,
        build_optimizer(model.parameters(), OptimizerSection(name="adamw")),
        StepSection(head_chunk=7, **settings),  # pyright: ignore[reportArgumentType]
        max_length=48,
        pad_id=0,
        clip=1.0,
    )
    result = step.gradients(tiny_samples())
    loss, gradients = plain(family)
    assert result.loss == pytest.approx(loss, rel=1e-5)
    found = {n: p.grad for n, p in model.named_parameters() if p.grad is not None}
    assert found.keys() == gradients.keys()
    for name, wanted in gradients.items():
        if wanted.norm() < 1e-7:  # an expert that no token was sent to
            assert found[name].norm() < 1e-6, name
            continue
        if (found[name] - wanted).norm() / wanted.norm() <= 1e-5:
            continue
        # Rounding that the base's own code has as well: where in fp64 the truth is, no farther from it than that.
        _, exact = plain(family, torch.float64)
        off = [(each.double() - exact[name]).norm() for each in (found[name], wanted)]
        assert off[0] <= off[1] <= 1e-4 * exact[name].norm(), name


@pytest.mark.parametrize("layout", ["tree", "packed", "padded"])
@pytest.mark.parametrize("family", PROVEN)
def test_a_proven_family_in_every_layout_and_form(family: str, layout: str):
    assert_plain(family, layout=layout)
    assert_plain(family, layout=layout, attention="dense", token_budget=40)


@pytest.mark.parametrize("family", ["qwen2", "gemma2", "mistral", "gpt_oss"])
def test_recomputed_activations_attend_within_the_same_window(family: str):
    assert_plain(family, layout="tree", gradient_checkpointing="always")


@pytest.mark.parametrize("family", OTHERS)
def test_another_family_has_rows_of_its_own(family: str):
    for layout in ("tree", "packed"):
        with pytest.raises(ModelError, match="would train it wrongly"):
            assert_plain(family, layout=layout)
    assert_plain(family, layout="padded")


def test_the_windows_hide_something():
    """Else the tests above would show nothing of them."""
    for family in ("mistral", "gemma3_text", "qwen2"):
        narrow, _ = plain(family)
        model = adapted_base(family, own_attention=True)
        wide = type(model.config).from_dict({**model.config.to_dict(), "sliding_window": 99})
        assert wide.sliding_window != WINDOW
        model.get_base_model().config.sliding_window = 99
        tokens = torch.arange(3, 40)[None] % VOCABULARY
        with torch.no_grad():
            seen = model(input_ids=tokens, use_cache=False).logits
            model.get_base_model().config.sliding_window = WINDOW
            hidden = model(input_ids=tokens, use_cache=False).logits
        assert not torch.allclose(seen, hidden, atol=1e-3)
        assert narrow > 0


def test_a_base_that_changes_its_scores_is_computed_with_a_whole_mask():
    assert only_dense({"model_type": "gemma2", "attn_logit_softcapping": 50.0})
    assert only_dense({"model_type": "gpt_oss"})
    assert not only_dense({"model_type": "qwen2", "attention_dropout": 0.0})
