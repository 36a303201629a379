"""The shape of a decoder against the modules that transformers and PEFT build from the same configuration."""

from __future__ import annotations

import pytest

from lexitrain.batching.cuts import CutCost
from lexitrain.batching.decoder_shape import DecoderShape
from lexitrain.errors import ModelError
from lexitrain.models import attach_adapter
from lexitrain.models.architecture import architecture_of
from lexitrain.recipe.schema import LoraSection
from tests.tiny import tiny_model


def test_the_matrices_are_those_of_the_model():
    model = tiny_model()
    shape = DecoderShape.of_config(model.config)
    assert shape == DecoderShape.of_config(model.config.to_dict())
    layer = model.get_submodule("model.layers.0")
    found = {
        name.rpartition(".")[2]: (module.in_features, module.out_features)
        for name, module in layer.named_modules()
        if hasattr(module, "in_features")
    }
    assert shape.projections == found
    assert shape.layers == len(model.get_submodule("model.layers"))
    assert shape.weights_per_layer == sum(a * b for a, b in found.values())


def test_the_adapter_has_these_sizes():
    base = tiny_model()
    shape = DecoderShape.of_config(base.config)
    lora = LoraSection(rank=3, alpha=6, targets=("q_proj", "v_proj", "down_proj"))
    model = attach_adapter(base, lora, 1)
    trained = [each.numel() for each in model.parameters() if each.requires_grad]
    assert sorted(shape.adapter_sizes(3, lora.targets)) == sorted(trained)
    half = LoraSection(rank=3, alpha=6, targets=lora.targets, layers=(1,))
    model = attach_adapter(tiny_model(), half, 1)
    trained = [each.numel() for each in model.parameters() if each.requires_grad]
    assert sorted(shape.adapter_sizes(3, half.targets, half.layers)) == sorted(trained)


def test_a_head_may_be_wider_than_its_part_and_share_its_key():
    """Qwen3-0.6B: 16 heads of 128 over 1,024 hidden numbers, 8 keys."""
    shape = architecture_of("Qwen/Qwen3-0.6B").decoder
    assert (shape.attention_width, shape.key_value_width, shape.hidden) == (2048, 1024, 1024)


def test_what_a_configuration_leaves_out():
    sizes = {"hidden_size": 96, "num_hidden_layers": 2, "num_attention_heads": 4}
    shape = DecoderShape.of_config({**sizes, "intermediate_size": 10, "head_dim": None})
    assert (shape.key_value_heads, shape.head_dimension) == (4, 24)
    with pytest.raises(ModelError, match="does not say intermediate_size"):
        DecoderShape.of_config(sizes)


def test_a_cut_costs_by_the_shape():
    """Qwen2.5-0.5B, the default: hidden 896, 2 key/value heads of 64, intermediate 4,864."""
    shape = architecture_of("Qwen/Qwen2.5-0.5B").decoder
    assert shape.weights_per_layer == 896 * (2 * 896 + 2 * 128 + 3 * 4864)
    assert CutCost.of_shape(shape) == CutCost()
