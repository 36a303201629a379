"""What is merged is what PEFT merges, in fp32; what is stored loads as transformers stores it."""

from __future__ import annotations

import json
import shutil
from pathlib import Path
from typing import Any, Literal

import pytest
import torch
from safetensors.torch import load_file
from transformers import AutoModelForCausalLM

from lexitrain.errors import ModelError
from lexitrain.exporting.merging import merged_folder
from lexitrain.exporting.merging.merged_folder import write_merged
from lexitrain.exporting.merging.merged_weights import MergedWeights
from lexitrain.models import attach_adapter, load_base, load_tokenizer
from lexitrain.models.adapter import save_adapter
from lexitrain.recipe import LoraSection, ModelSection
from tests.exporting.small_bases import as_peft_calls_it, save_base, save_lora

KINDS = ("qwen2", "qwen3", "llama")
VARIANTS: dict[str, dict[str, Any]] = {
    "plain": {},
    "rslora": {"use_rslora": True},
    "patterns": {
        "rank_pattern": {"q_proj": 2, r"layers\.1\.mlp\.up_proj": 8},
        "alpha_pattern": {"v_proj": 1, r"layers\.0\.self_attn\.o_proj": 32},
    },
    "patterns and rslora": {
        "use_rslora": True,
        "rank_pattern": {"q_proj": 2},
        "alpha_pattern": {"model.layers.0.self_attn.v_proj": 1},
    },
    "dora": {"use_dora": True},
    "dora and rslora": {"use_dora": True, "use_rslora": True, "alpha_pattern": {"q_proj": 2}},
    "some layers": {"layers_to_transform": [1]},
}


@pytest.fixture(scope="module", params=KINDS)
def base(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Path:
    return save_base(tmp_path_factory.mktemp("merging") / request.param, request.param)


@pytest.fixture(scope="module")
def one_base(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return save_base(tmp_path_factory.mktemp("merging") / "one", "llama")


def by_peft(base: Path, adapter: Path) -> dict[str, torch.Tensor]:
    """The weights that PEFT merges, fp32."""
    from peft import PeftModel

    model = AutoModelForCausalLM.from_pretrained(base, dtype=torch.float32)
    with as_peft_calls_it():
        merged: Any = PeftModel.from_pretrained(model, str(adapter)).merge_and_unload()
    return dict(merged.state_dict())


@pytest.mark.parametrize("variant", VARIANTS)
def test_weights_are_those_that_peft_merges(base: Path, variant: str, tmp_path: Path) -> None:
    adapter = save_lora(tmp_path / "adapter", base, **VARIANTS[variant])
    expected = by_peft(base, adapter)
    original = load_file(base / "model.safetensors")
    with MergedWeights(ModelSection(base=str(base)), adapter) as weights:
        assert {*weights.names} == expected.keys() - {"lm_head.weight"}
        changed = 0
        for name in weights.names:
            merged = weights.tensor(name)
            assert merged.dtype == torch.float32
            torch.testing.assert_close(merged, expected[name], rtol=2e-6, atol=2e-7)
            torch.testing.assert_close(
                torch.cat([*weights.in_rows(name)]), merged, rtol=1e-6, atol=1e-7
            )
            if name not in weights.adapted:
                assert torch.equal(merged, original[name])
            elif not torch.allclose(merged, original[name]):
                changed += 1
    assert changed == len(weights.adapted) == (6 if variant == "some layers" else 12)


def peft_logits(base: Path, adapter: Path, ids: torch.Tensor) -> torch.Tensor:
    from peft import PeftModel

    model = AutoModelForCausalLM.from_pretrained(base, dtype=torch.float32)
    with as_peft_calls_it(), torch.inference_mode():
        return PeftModel.from_pretrained(model, str(adapter))(input_ids=ids).logits


def logits(folder: Path, ids: torch.Tensor) -> torch.Tensor:
    loaded: Any = AutoModelForCausalLM.from_pretrained(
        folder, dtype=torch.float32, output_loading_info=True
    )
    model, found = loaded
    assert not any(found.values())
    with torch.inference_mode():
        return model(input_ids=ids).logits


def merge(base: Path, adapter: Path | None, folder: Path, quantization: str = "none") -> Path:
    model = ModelSection.model_validate({"base": str(base), "quantization": quantization})
    with MergedWeights(model, adapter) as weights:
        write_merged(folder, weights, load_tokenizer(str(base)), "card")
    return folder


IDS = torch.arange(40)[None] * 7


@pytest.mark.parametrize("variant", ["patterns and rslora", "dora and rslora"])
def test_a_merged_folder_says_what_base_and_adapter_say(
    one_base: Path, variant: str, tmp_path: Path
) -> None:
    adapter = save_lora(tmp_path / "adapter", one_base, **VARIANTS[variant])
    merged = merge(one_base, adapter, tmp_path / "merged")
    expected, found = peft_logits(one_base, adapter, IDS), logits(merged, IDS)
    torch.testing.assert_close(found, expected, rtol=1e-4, atol=1e-4)
    assert (found - logits(one_base, IDS)).abs().max() > 1
    tokenizer = load_tokenizer(str(merged))
    assert tokenizer.chat_template == load_tokenizer(str(one_base)).chat_template
    assert (merged / "generation_config.json").read_bytes() == (
        one_base / "generation_config.json"
    ).read_bytes()


def test_weights_are_stored_in_the_dtype_of_the_base(tmp_path: Path) -> None:
    base = save_base(tmp_path / "base")
    AutoModelForCausalLM.from_pretrained(base, dtype=torch.bfloat16).save_pretrained(base)
    adapter = save_lora(tmp_path / "adapter", base)
    expected = by_peft(base, adapter)
    stored = load_file(merge(base, adapter, tmp_path / "merged") / "model.safetensors")
    for name, weight in stored.items():
        assert weight.dtype == torch.bfloat16
        torch.testing.assert_close(weight.float(), expected[name], rtol=2**-8, atol=1e-6)


def test_large_models_are_stored_in_parts(
    one_base: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    adapter = save_lora(tmp_path / "adapter", one_base)
    whole = merge(one_base, adapter, tmp_path / "whole")
    monkeypatch.setattr(merged_folder, "_LARGEST_FILE", 60_000)
    parts = merge(one_base, adapter, tmp_path / "parts")
    files = sorted(parts.glob("*.safetensors"))
    index = json.loads((parts / "model.safetensors.index.json").read_text())
    assert len(files) > 2
    assert {*index["weight_map"].values()} == {each.name for each in files}
    assert index["metadata"]["total_size"] == sum(
        weight.nbytes for file in files for weight in load_file(file).values()
    )
    assert torch.equal(logits(parts, IDS), logits(whole, IDS))
    with MergedWeights(ModelSection(base=str(parts)), None) as again:  # it is a base again
        stored = load_file(whole / "model.safetensors")
        assert all(torch.equal(again.tensor(name), stored[name]) for name in again.names)


def test_nothing_of_an_older_model_is_left_in_the_folder(
    one_base: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """transformers adds an adapter that it finds beside a model, and vLLM reads every safetensors file."""
    adapter = save_lora(tmp_path / "adapter", one_base)
    folder = tmp_path / "merged"
    with monkeypatch.context() as patch:
        patch.setattr(merged_folder, "_LARGEST_FILE", 60_000)
        merge(one_base, None, folder)
    save_lora(folder, one_base, seed=8)
    (folder / "notes.txt").write_text("mine")
    merge(one_base, adapter, folder)
    assert [each.name for each in folder.glob("*.safetensors*")] == ["model.safetensors"]
    assert not (folder / "adapter_config.json").exists()
    assert (folder / "notes.txt").read_text() == "mine"
    assert torch.equal(logits(folder, IDS), logits(merge(one_base, adapter, tmp_path / "new"), IDS))


def test_a_base_is_not_replaced_by_what_is_made_of_it(one_base: Path, tmp_path: Path) -> None:
    adapter = save_lora(tmp_path / "adapter", one_base)
    merged = merge(one_base, adapter, tmp_path / "merged")
    before = {each.name: each.read_bytes() for each in merged.iterdir()}
    with pytest.raises(ModelError, match="the base's own folder"):
        merge(merged, adapter, tmp_path / "elsewhere" / ".." / "merged")
    assert before == {each.name: each.read_bytes() for each in merged.iterdir()}


def test_four_bits_are_merged_as_training_held_them(one_base: Path, tmp_path: Path) -> None:
    from bitsandbytes.functional import dequantize_4bit

    settings = ModelSection(base=str(one_base), quantization="nf4")
    held: dict[str, torch.Tensor] = {}
    for name, parameter in load_base(
        settings, device="cpu", dtype=torch.float32
    ).named_parameters():
        state = getattr(parameter, "quant_state", None)
        held[name] = parameter if state is None else dequantize_4bit(parameter.data, state)
    original = load_file(one_base / "model.safetensors")
    with MergedWeights(settings, None) as weights:
        for name in weights.names:
            assert torch.equal(weights.tensor(name), held[name].reshape(weights.shapes[name]))
        rounded = [name for name in weights.names if not torch.equal(held[name], original[name])]
    assert len(rounded) == 14


def test_an_adapter_beside_four_bits_is_added_to_them(one_base: Path, tmp_path: Path) -> None:
    settings = ModelSection(base=str(one_base), quantization="nf4")
    adapter = save_lora(tmp_path / "adapter", one_base)
    with (
        MergedWeights(settings, None) as plain,
        MergedWeights(settings, adapter) as weights,
        MergedWeights(ModelSection(base=str(one_base)), adapter) as exact,
        MergedWeights(ModelSection(base=str(one_base)), None) as original,
    ):
        for name in weights.adapted:
            added = exact.tensor(name) - original.tensor(name)
            torch.testing.assert_close(
                weights.tensor(name), plain.tensor(name) + added, rtol=1e-5, atol=1e-5
            )


@pytest.mark.parametrize("init", ["pissa", "olora"])
def test_adapters_that_start_from_the_base_are_merged_into_it(
    init: Literal["pissa", "olora"], one_base: Path, tmp_path: Path
) -> None:
    """LexiTrain saves them for the base as it was; the merged model says what the model in training says."""
    lora = LoraSection(rank=4, init=init, targets=("q_proj", "v_proj", "down_proj"))
    settings = ModelSection(base=str(one_base))
    model = attach_adapter(load_base(settings, device="cpu", dtype=torch.float32), lora, seed=1)
    for name, parameter in model.named_parameters():
        if "lora_" in name:
            parameter.data.add_(torch.full_like(parameter, 0.02))
    with torch.inference_mode():
        expected = model.eval()(input_ids=IDS).logits
    save_adapter(model, tmp_path / "adapter", str(one_base))
    found = logits(merge(one_base, tmp_path / "adapter", tmp_path / "merged"), IDS)
    torch.testing.assert_close(found, expected, rtol=1e-3, atol=1e-3)
    assert (found - logits(one_base, IDS)).abs().max() > 0.1


def test_weights_are_read_from_the_file_that_transformers_reads(
    one_base: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A folder may hold one file and an index of others."""
    adapter = save_lora(tmp_path / "adapter", one_base)
    with monkeypatch.context() as patch:
        patch.setattr(merged_folder, "_LARGEST_FILE", 60_000)
        folder = merge(one_base, adapter, tmp_path / "both")
    shutil.copyfile(one_base / "model.safetensors", folder / "model.safetensors")
    loaded = AutoModelForCausalLM.from_pretrained(folder, dtype=torch.float32).state_dict()
    with MergedWeights(ModelSection(base=str(folder)), None) as weights:
        assert all(torch.equal(weights.tensor(name), loaded[name]) for name in weights.names)
