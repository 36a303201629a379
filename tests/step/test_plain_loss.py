"""Before anything is trained the layout's loss is compared with the base's own."""

from __future__ import annotations

import pytest

from lexitrain.errors import ModelError
from lexitrain.models import families
from lexitrain.recipe.schema import OptimizerSection, StepSection
from lexitrain.step import TrainingStep, build_optimizer, require_plain_loss
from tests.bases.families import adapted_base

pytestmark = pytest.mark.filterwarnings("ignore")  # of the families' own code


def step_of(family: str, layout: str) -> TrainingStep:
    model = adapted_base(family)
    return TrainingStep(
        model,
        build_optimizer(model.parameters(), OptimizerSection(name="adamw")),
        StepSection(layout=layout),  # pyright: ignore[reportArgumentType]
        max_length=48,
        pad_id=0,
        clip=1.0,
    )


@pytest.mark.parametrize("family", ["qwen2", "gemma2", "gpt_oss", "granite"])
def test_a_family_that_is_right_passes(family: str):
    require_plain_loss(step_of(family, "tree"))
    require_plain_loss(step_of(family, "padded"))


@pytest.mark.parametrize("family", ["lfm2", "granitemoehybrid"])
def test_a_family_wrongly_taken_for_proven_is_found_out(family: str, monkeypatch):
    monkeypatch.setattr(families, "EVERY_LAYOUT", families.EVERY_LAYOUT | {family})
    monkeypatch.setattr(families, "_ATTENTION", {"full_attention", "conv", "linear_attention"})
    for layout in ("tree", "packed"):
        with pytest.raises(ModelError, match="each is computed alone") as caught:
            require_plain_loss(step_of(family, layout))
        assert caught.value.where == "step.layout"


def test_a_base_that_looks_ahead_is_refused():
    step = step_of("llama", "padded")
    require_plain_loss(step)
    step.model.get_base_model().config.is_causal = False
    for layer in step.model.get_base_model().model.layers:
        layer.self_attn.is_causal = False
    step.model.get_base_model().set_attn_implementation("eager")
    step.attention = "own"
    with pytest.raises(ModelError, match="sees tokens that come later"):
        require_plain_loss(step)
