"""The form of attention that a device computes, in training and in a plan."""

from __future__ import annotations

import pytest

from lexitrain.errors import InputError
from lexitrain.models.attention.form import attention_kind
from lexitrain.models.families import sliding_window
from lexitrain.recipe.schema import StepSection

PLAIN = {"model_type": "qwen2"}
DROPS = {**PLAIN, "attention_dropout": 0.1}


def test_a_cpu_goes_by_blocks_unless_the_base_drops_weights():
    assert attention_kind("auto", None, PLAIN, "tree") == "blocks"
    assert attention_kind("dense", None, PLAIN, "tree") == "dense"
    assert attention_kind("auto", None, DROPS, "tree") == "dense"
    with pytest.raises(InputError, match="drops attention weights"):
        attention_kind("blocks", None, DROPS, "tree")
    with pytest.raises(InputError, match=r"compute capability 8\.0"):
        attention_kind("flex", None, PLAIN, "tree")


@pytest.mark.parametrize(("capability", "kind"), [((7, 5), "dense"), ((8, 0), "flex")])
def test_auto_on_a_gpu_goes_by_compute_capability(capability, kind):
    assert attention_kind("auto", capability, PLAIN, "tree") == kind
    assert attention_kind("auto", capability, DROPS, "tree") == "dense"
    with pytest.raises(InputError, match="only a CPU has"):
        attention_kind("blocks", capability, PLAIN, "tree")


def test_flex_is_refused_by_a_gpu_without_its_kernel():
    with pytest.raises(InputError, match="FlexAttention") as caught:
        attention_kind("flex", (7, 5), PLAIN, "tree")
    assert caught.value.where == "step.attention"
    assert attention_kind("flex", (9, 0), PLAIN, "tree") == "flex"


@pytest.mark.parametrize(
    "config",
    [
        {"model_type": "lfm2", "layer_types": ["conv", "full_attention"]},
        {"model_type": "qwen2", "layer_types": ["chunked_attention"]},
        {"model_type": "never_heard_of"},
        {"model_type": "llama", "is_causal": False},
    ],
)
def test_a_base_that_is_not_proven_has_rows_of_its_own_and_its_own_attention(config):
    assert attention_kind("auto", None, config, "padded") == "own"
    assert attention_kind("auto", (8, 0), config, "padded") == "own"
    with pytest.raises(InputError, match="The layout tree would train it wrongly") as caught:
        attention_kind("auto", None, config, "tree")
    assert caught.value.where == "step.layout"
    with pytest.raises(InputError, match="attention of its own code"):
        attention_kind("dense", None, config, "padded")


@pytest.mark.parametrize(
    ("config", "window"),
    [
        ({"model_type": "qwen2", "sliding_window": 32768, "use_sliding_window": False}, None),
        ({"model_type": "qwen2", "sliding_window": 32768}, None),
        ({"model_type": "qwen2", "sliding_window": 64, "use_sliding_window": True}, 64),
        ({"model_type": "mistral", "sliding_window": 4096}, 4096),
        ({"model_type": "mistral", "sliding_window": None}, None),
        ({"model_type": "gemma2", "sliding_window": 4096}, 4096),
        ({"model_type": "gemma3_text", "sliding_window": 512}, 512),
        ({"model_type": "olmo3", "sliding_window": 9, "layer_types": ["full_attention"]}, None),
        ({"model_type": "llama"}, None),
    ],
)
def test_the_window_that_a_configuration_states(config, window):
    assert sliding_window(config) == window


def test_cuts_by_blocks_are_not_recorded():
    assert attention_kind("auto", None, PLAIN, "tree", recorded=True) == "dense"
    assert attention_kind("auto", (7, 5), PLAIN, "tree", recorded=True) == "dense"
    assert attention_kind("auto", (8, 0), PLAIN, "tree", recorded=True) == "flex"
    with pytest.raises(ValueError, match="attention by blocks is another computation"):
        StepSection(graphs="always", attention="blocks")
    assert StepSection(graphs="always", attention="flex").attention == "flex"
