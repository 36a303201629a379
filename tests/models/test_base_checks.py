"""A base whose files, numbers or tokens are not what they seem is refused before anything is trained."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from safetensors.torch import load_file, save_file

from lexitrain.errors import ModelError
from lexitrain.evaluation.generation import generate
from lexitrain.models import load_base
from lexitrain.models.architecture import architecture_of
from lexitrain.recipe.schema import ModelSection
from tests.bases.families import VOCABULARY, tiny_base

pytestmark = pytest.mark.filterwarnings("ignore")  # of transformers' own


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    tiny_base("qwen2").save_pretrained(tmp_path)
    return tmp_path


def load(folder: Path, **settings: Any) -> Any:
    section = ModelSection(base=str(folder), **settings)
    return load_base(section, device="cpu", dtype=torch.float32)


def change(folder: Path, **fields: Any) -> None:
    path = folder / "config.json"
    path.write_text(json.dumps(json.loads(path.read_text()) | fields))


def test_weights_that_are_missing_or_of_another_shape_are_named(folder: Path):
    file = folder / "model.safetensors"
    weights = load_file(file)
    name = "model.layers.1.mlp.up_proj.weight"
    load(folder)
    save_file({k: v for k, v in weights.items() if k != name}, file, metadata={"format": "pt"})
    with pytest.raises(ModelError, match=r"layers\.1\.mlp\.up_proj"):
        load(folder)
    save_file(weights | {name: weights[name][:5].clone()}, file, metadata={"format": "pt"})
    with pytest.raises(ModelError, match=r"layers\.1\.mlp\.up_proj"):
        load(folder)


def test_a_tied_head_is_not_missed(folder: Path, tmp_path: Path):
    change(folder, tie_word_embeddings=True)
    weights = load_file(folder / "model.safetensors")
    kept = {k: v for k, v in weights.items() if k != "lm_head.weight"}
    save_file(kept, folder / "model.safetensors", metadata={"format": "pt"})
    assert load(folder) is not None


@pytest.mark.parametrize("method", ["gptq", "awq", "bitsandbytes", "fp8", "mxfp4"])
def test_a_base_that_is_stored_quantized_is_refused(folder: Path, method: str):
    change(folder, quantization_config={"quant_method": method, "bits": 4, "load_in_4bit": True})
    for settings in ({}, {"quantization": "nf4"}):
        with pytest.raises(ModelError, match="stored quantized"):
            load(folder, **settings)


def test_a_base_with_code_of_its_own_or_of_an_unknown_kind_is_refused(folder: Path):
    change(folder, model_type="never_heard_of", auto_map={"AutoConfig": "code.Config"})
    with pytest.raises(ModelError, match="cannot be loaded"):
        load(folder)


def test_pickled_weights_are_refused(folder: Path):
    torch.save(load_file(folder / "model.safetensors"), folder / "pytorch_model.bin")
    (folder / "model.safetensors").unlink()
    with pytest.raises(ModelError, match="cannot be loaded"):
        load(folder)


def test_a_model_of_images_too_is_refused(tmp_path: Path):
    text = {"vocab_size": 97, "hidden_size": 32, "num_hidden_layers": 2, "num_attention_heads": 2}
    config = {"model_type": "gemma3", "text_config": text, "vision_config": {"hidden_size": 32}}
    (tmp_path / "config.json").write_text(json.dumps(config))
    with pytest.raises(ModelError, match="other input than text"):
        load(tmp_path)
    with pytest.raises(ModelError, match="several kinds of input"):
        architecture_of(str(tmp_path))


def test_a_token_without_an_embedding_is_refused_before_it_is_asked():
    class Tokenizer:
        pad_token_id = 0

    prompts = [np.array([3, 4, VOCABULARY], np.int32)]
    with pytest.raises(ModelError, match=f"token {VOCABULARY}"):
        generate(tiny_base("qwen2"), Tokenizer(), prompts, 3, {2})
