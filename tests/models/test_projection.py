"""The fused projection is PEFT's projection: same numbers, fewer copies."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch
from peft.tuners.lora import LoraLayer

from lexitrain.models import load_base
from lexitrain.models.adapter import attach_adapter
from lexitrain.recipe.schema import LoraSection, ModelSection
from tests.tiny import tiny_model

TOKENS = torch.arange(40).reshape(2, 20)


def adapted(model=None, *, fused: bool, dropout: float = 0.0):
    model = attach_adapter(
        model or tiny_model(), LoraSection(rank=4, alpha=12, dropout=dropout), seed=1
    )
    generator = torch.Generator().manual_seed(2)
    for name, parameter in model.named_parameters():
        if "lora_B" in name:
            parameter.data.normal_(0, 0.1, generator=generator)
    if not fused:
        for module in model.modules():
            if isinstance(module, LoraLayer):
                del module.forward  # the instance's own; the class's comes back
    return model.train()


def outputs_and_gradients(model) -> tuple[torch.Tensor, list[torch.Tensor]]:
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(3)
        logits = model(TOKENS, use_cache=False).logits
    logits.square().mean().backward()
    return logits.detach(), [p.grad for p in model.parameters() if p.requires_grad]


@pytest.mark.parametrize("dropout", [0.0, 0.3])
def test_numbers_are_pefts(dropout: float):
    ours = outputs_and_gradients(adapted(fused=True, dropout=dropout))
    theirs = outputs_and_gradients(adapted(fused=False, dropout=dropout))
    torch.testing.assert_close(ours[0], theirs[0], rtol=1e-5, atol=1e-5)
    for found, expected in zip(ours[1], theirs[1], strict=True):
        assert torch.linalg.norm(found - expected) <= 1e-5 * torch.linalg.norm(expected)


def test_numbers_are_pefts_over_a_4_bit_base(tmp_path: Path):
    pytest.importorskip("bitsandbytes")
    tiny_model(hidden=128).save_pretrained(tmp_path)
    settings = ModelSection(base=str(tmp_path), quantization="nf4")

    def base():
        return load_base(settings, device=torch.device("cpu"), dtype=torch.float32)

    ours = outputs_and_gradients(adapted(base(), fused=True))
    theirs = outputs_and_gradients(adapted(base(), fused=False))
    torch.testing.assert_close(ours[0], theirs[0], rtol=1e-4, atol=1e-4)
    for found, expected in zip(ours[1], theirs[1], strict=True):
        assert torch.linalg.norm(found - expected) <= 1e-4 * torch.linalg.norm(expected)


@pytest.mark.parametrize(("fused", "copies"), [(True, False), (False, True)])
def test_a_half_precision_base_keeps_no_fp32_activations(fused: bool, copies: bool):
    """Inputs of projections that are kept for the backward pass, in fp32 although the base computes in bf16."""
    model = adapted(tiny_model().to(torch.bfloat16), fused=fused)
    projection = model.get_submodule("base_model.model.model.layers.0.mlp.up_proj")
    x = torch.randn(2, 20, 32, generator=torch.Generator().manual_seed(0)).to(torch.bfloat16)
    kept: list[torch.Tensor] = []

    def keep(tensor: torch.Tensor) -> torch.Tensor:
        kept.append(tensor)
        return tensor

    with torch.autograd.graph.saved_tensors_hooks(keep, lambda tensor: tensor):
        result = projection(x.requires_grad_())
    assert result.dtype is torch.bfloat16
    assert any(t.dtype is torch.float32 and t.numel() == x.numel() for t in kept) is copies


def test_an_adapter_that_is_off_or_merged_goes_pefts_way():
    model = adapted(fused=True).eval()
    with torch.no_grad():
        on = model(TOKENS).logits
        with model.disable_adapter():
            torch.testing.assert_close(model(TOKENS).logits, tiny_model()(TOKENS).logits)
        model.merge_adapter()
        torch.testing.assert_close(model(TOKENS).logits, on, rtol=1e-4, atol=1e-4)
        assert not torch.allclose(tiny_model()(TOKENS).logits, on)
