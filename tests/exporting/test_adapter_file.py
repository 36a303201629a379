"""A LoRA adapter as a GGUF file: its numbers are those of PEFT, and what has no form is refused."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from safetensors.torch import load_file, save_file

from lexitrain.errors import ModelError
from tests.exported import random_adapter, write_adapter

gguf = pytest.importorskip("gguf")


def read(path: Path) -> tuple[dict[str, np.ndarray], float]:
    """Tensors as they are stored, and alpha."""
    reader = gguf.GGUFReader(path)
    assert reader.get_field("general.type").contents() == "adapter"
    assert reader.get_field("adapter.type").contents() == "lora"
    alpha = reader.get_field("adapter.lora.alpha").contents()
    return {str(each.name): np.array(each.data) for each in reader.tensors}, float(alpha)


@pytest.mark.parametrize(
    ("settings", "scale"),
    [
        ({"r": 4, "lora_alpha": 8}, 2.0),
        ({"r": 4, "lora_alpha": 8, "use_rslora": True}, 4.0),
        ({"r": 4, "lora_alpha": 8, "alpha_pattern": {"q_proj": 1}}, 0.25),
        ({"r": 8, "lora_alpha": 8, "rank_pattern": {"q_proj": 2}}, 4.0),
        (
            {
                "r": 8,
                "lora_alpha": 8,
                "rank_pattern": {"q_proj": 2},
                "alpha_pattern": {"q_proj": 3},
            },
            1.5,
        ),
    ],
)
def test_llama_cpp_adds_what_peft_adds(
    tmp_path: Path, settings: dict[str, Any], scale: float
) -> None:
    """alpha / rank of the pair, times B A, as llama.cpp computes it."""
    adapter = random_adapter(tmp_path / "adapter", 1, **settings)
    tensors, alpha = read(write_adapter(tmp_path / "adapter.gguf", adapter))
    stored = load_file(adapter / "adapter_model.safetensors")
    assert len(tensors) == len(stored)
    prefix = "base_model.model.model.layers.0.self_attn.q_proj.lora_"
    a, b = (stored[f"{prefix}{half}.weight"].double().numpy() for half in "AB")
    found_a, found_b = (
        tensors[f"blk.0.attn_q.weight.lora_{half}"].astype(np.float64) for half in "ab"
    )
    assert np.array_equal(found_a, a)
    added = alpha / found_a.shape[0] * (found_b @ found_a)
    assert np.allclose(added, scale * (b @ a), rtol=1e-6, atol=1e-9)


def test_dora_has_no_form(tmp_path: Path) -> None:
    adapter = random_adapter(tmp_path / "adapter", 1, use_dora=True)
    with pytest.raises(ModelError, match="DoRA"):
        write_adapter(tmp_path / "adapter.gguf", adapter)
    assert not (tmp_path / "adapter.gguf").exists()


def test_an_adapter_for_another_base_is_refused(tmp_path: Path) -> None:
    adapter = random_adapter(tmp_path / "adapter", 1)
    file = adapter / "adapter_model.safetensors"
    weights = load_file(file)
    save_file({name: each[..., :3].contiguous() for name, each in weights.items()}, file)
    with pytest.raises(ModelError, match="of the shape"):
        write_adapter(tmp_path / "adapter.gguf", adapter)
    save_file({name.replace("layers.0", "layers.99"): w for name, w in weights.items()}, file)
    with pytest.raises(ModelError, match="which its settings ask for with this base"):
        write_adapter(tmp_path / "adapter.gguf", adapter)


@pytest.mark.parametrize(
    "rest", ["modules_to_save", "trainable_token_indices", "target_parameters"]
)
def test_what_an_adapter_changes_besides_is_refused(tmp_path: Path, rest: str) -> None:
    adapter = random_adapter(tmp_path / "adapter", 1)
    config = json.loads((adapter / "adapter_config.json").read_text())
    value: Any = {"embed_tokens": [1]} if rest == "trainable_token_indices" else ["lm_head"]
    (adapter / "adapter_config.json").write_text(json.dumps({**config, rest: value}))
    with pytest.raises(ModelError, match=rest):
        write_adapter(tmp_path / "adapter.gguf", adapter)
