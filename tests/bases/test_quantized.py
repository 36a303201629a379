"""A base in 4 bits: its matrices are, its layout's loss is its own, and a step has gradients."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import torch

from lexitrain.errors import ModelError
from lexitrain.models import attach_adapter, load_base
from lexitrain.recipe.schema import LoraSection, ModelSection, OptimizerSection, StepSection
from lexitrain.step import TrainingStep, build_optimizer, require_plain_loss
from tests.bases.families import FAMILIES, projections, tiny_base, tiny_samples
from tests.bases.table import NOT_IN_4_BITS, layouts_of

pytest.importorskip("bitsandbytes")
pytestmark = pytest.mark.filterwarnings("ignore")  # of the families' own code

QUICK = {"qwen2", "gemma2", "gpt_neox", "phi3", "lfm2"}


def step_of(base: Any, family: str) -> TrainingStep:
    """A step whose loss is that of the base."""
    model = attach_adapter(base, LoraSection(rank=2, alpha=4, targets=projections(base)), seed=3)
    step = TrainingStep(
        model,
        build_optimizer(model.parameters(), OptimizerSection(name="adamw")),
        StepSection(layout=layouts_of(family)[0]),
        max_length=48,
        pad_id=0,
        clip=1.0,
    )
    require_plain_loss(step)
    return step


@pytest.mark.parametrize(
    "family",
    [
        family if family in QUICK else pytest.param(family, marks=pytest.mark.slow)
        for family in sorted(FAMILIES.keys() - NOT_IN_4_BITS.keys())
    ],
)
def test_a_step_in_4_bits(family: str, tmp_path: Path):
    tiny_base(family).save_pretrained(tmp_path)
    settings = ModelSection(base=str(tmp_path), quantization="nf4")
    base = load_base(settings, device="cpu", dtype=torch.float32)
    packed = [name for name, p in base.named_parameters() if p.dtype is torch.uint8]
    assert packed
    step = step_of(base, family)
    step.gradients(tiny_samples())
    assert step.grad_norm > 0


@pytest.mark.parametrize("family", sorted(NOT_IN_4_BITS))
def test_a_base_that_would_stay_whole_is_refused(family: str, tmp_path: Path):
    tiny_base(family).save_pretrained(tmp_path)
    settings = ModelSection(base=str(tmp_path), quantization="nf4")

    def step_in_4_bits() -> None:
        step_of(load_base(settings, device="cpu", dtype=torch.float32), family)

    with pytest.raises(ModelError):
        step_in_4_bits()
