"""Adapters of every family that begin in its own directions, or on chosen layers, are saved for the base as it was."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import torch
from peft import PeftModel

from lexitrain.errors import ModelError
from lexitrain.models import attach_adapter
from lexitrain.models.adapter import adapter_weights, save_adapter
from lexitrain.models.lora_targets import layer_number
from lexitrain.recipe.schema import LoraSection
from tests.bases.families import FAMILIES, VOCABULARY, projections, tiny_base

pytestmark = pytest.mark.filterwarnings("ignore")  # of the families' own code


def logits(model: Any) -> torch.Tensor:
    with torch.no_grad():
        tokens = torch.arange(3, VOCABULARY)[None, :12]
        return model.eval()(input_ids=tokens, use_cache=False).logits


def far(one: torch.Tensor, other: torch.Tensor) -> float:
    return float((one - other).abs().max() / one.abs().max())


@pytest.mark.parametrize(
    "settings",
    [{"init": "pissa"}, {"init": "olora", "scaling": "rslora"}, {"layers": (1,)}],
    ids=["pissa", "olora", "layers"],
)
@pytest.mark.parametrize("family", sorted(FAMILIES))
def test_what_a_family_learnt_is_saved_for_its_base(
    family: str, settings: dict[str, Any], tmp_path: Path
) -> None:
    base = tiny_base(family)
    targets = fitting(base, 1 if "layers" in settings else None)
    if not targets:
        pytest.skip("every projection is read by a kernel")
    lora = LoraSection(rank=2, alpha=4, targets=targets, **settings)
    untouched = logits(base)
    model = attach_adapter(base, lora, seed=3)
    assert far(logits(model), untouched) < 1e-4
    generator = torch.Generator().manual_seed(4)
    for name, parameter in model.named_parameters():
        if "lora_" in name:
            parameter.data.add_(0.05 * torch.randn(parameter.shape, generator=generator))
    trained = logits(model)
    assert far(trained, untouched) > 1e-4
    save_adapter(model, tmp_path, family)
    stock = PeftModel.from_pretrained(tiny_base(family), str(tmp_path))
    assert far(trained, logits(stock)) < 1e-5
    if lora.layers:
        assert {layer_number(name) for name in adapter_weights(model)} == {1}


@pytest.mark.parametrize(
    ("family", "settings", "said"),
    [
        ("mamba", {"init": "pissa"}, "kernels of layers of Mamba's kind read the weights"),
        ("qwen2_moe", {"init": "pissa"}, "too small for rank 2"),
        (
            "qwen3_next",
            {"layers": (1,), "targets": ("shared_expert.down_proj",)},
            "which is in none of the layers",
        ),
        ("qwen3_next", {"init": "olora", "targets": ("shared_expert.down_proj",)}, "no matrix"),
    ],
)
def test_what_would_be_wrong_is_refused(family: str, settings: dict[str, Any], said: str) -> None:
    base = tiny_base(family)
    lora = LoraSection(rank=2, alpha=4, **{"targets": projections(base), **settings})
    with pytest.raises(ModelError, match=said):
        attach_adapter(base, lora, seed=3)


def fitting(base: Any, layer: int | None) -> tuple[str, ...]:
    """Projections that can begin in their own directions, and lie in `layer` where one is given."""
    modules = dict(base.named_modules())

    def fits(target: str) -> bool:
        names = [n for n in modules if n == target or n.endswith(f".{target}")]
        read = any(hasattr(modules[n.rpartition(".")[0]], "conv1d") for n in names)
        plain = all(min(getattr(modules[n], "weight", torch.zeros(0)).shape) > 1 for n in names)
        there = layer is None or any(layer_number(f"{n}.") == layer for n in names)
        fused = any("expert" in n for n in names)  # PEFT may take them for the fused experts
        return plain and there and not read and not fused

    return tuple(each for each in projections(base) if fits(each))
