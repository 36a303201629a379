"""A target is a projection of every decoder layer, or it is said why not."""

from __future__ import annotations

from typing import Any

import pytest

from lexitrain.errors import ModelError
from lexitrain.models.lora_targets import require_targets
from tests.bases.families import tiny_base

pytestmark = pytest.mark.filterwarnings("ignore")  # of the families' own code


@pytest.mark.parametrize(
    ("family", "targets", "words"),
    [
        ("qwen2", ("q_proj", "down_proj"), None),
        ("gpt_neox", ("query_key_value",), None),
        ("gpt_neox", ("q_proj",), "query_key_value"),
        ("phi3", ("q_proj",), "qkv_proj"),
        ("gpt2", ("c_attn",), None),
        ("mixtral", ("q_proj", "o_proj"), None),
        ("mixtral", ("gate_proj",), "no projection called gate_proj"),
        ("qwen2_moe", ("up_proj",), "name shared_expert.up_proj"),
        ("qwen2_moe", ("shared_expert.up_proj",), None),
        ("lfm2", ("q_proj",), None),
        ("falcon_h1", ("out_proj",), "Mamba"),
        ("qwen2", ("lm_head",), "no projection called lm_head"),
        ("qwen2", ("embed_tokens",), "no projection called embed_tokens"),
        ("qwen2", ("proj",), "no projection called proj"),
    ],
)
def test_targets(family: str, targets: tuple[str, ...], words: str | None):
    base = tiny_base(family)
    if words is None:
        require_targets(base, targets)
        return
    with pytest.raises(ModelError, match=words) as caught:
        require_targets(base, targets)
    assert caught.value.where == "lora.targets"


def test_a_projection_that_only_some_of_alike_layers_have_is_refused():
    base: Any = tiny_base("llama")
    del base.model.layers[1].mlp.up_proj
    with pytest.raises(ModelError, match="Only 3 of the base's 4 decoder layers"):
        require_targets(base, ("up_proj",))
