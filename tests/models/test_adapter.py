"""Adapters start from their seed alone, are saved as the same bytes, and come back."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
import torch
from peft import PeftModel

from lexitrain.errors import InputError
from lexitrain.models import attach_adapter, load_adapter, restore_adapter
from lexitrain.models.adapter import adapter_weights, save_adapter
from lexitrain.recipe.schema import PROJECTIONS, LoraSection
from tests.tiny import tiny_model

LORA = LoraSection(rank=4, alpha=8)
TOKENS = torch.arange(16)[None]


def logits(model: torch.nn.Module) -> torch.Tensor:
    with torch.no_grad():
        return model.eval()(TOKENS, use_cache=False).logits


def trained(seed: int = 1, lora: LoraSection = LORA):
    """An adapter that changes the output: B as after some training."""
    model = attach_adapter(tiny_model(), lora, seed)
    generator = torch.Generator().manual_seed(seed)
    for name, parameter in model.named_parameters():
        if "lora_B" in name:
            parameter.data.normal_(generator=generator)
    return model


def test_a_new_adapter_changes_nothing_yet_and_is_fp32():
    model = attach_adapter(tiny_model().to(torch.bfloat16), LORA, seed=0)
    trainable = {n: p for n, p in model.named_parameters() if p.requires_grad}
    assert len(trainable) == 2 * len(PROJECTIONS) * 2
    assert {p.dtype for p in trainable.values()} == {torch.float32}
    assert torch.equal(logits(model), logits(tiny_model().to(torch.bfloat16)))


def test_the_start_is_a_function_of_the_seed():
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(123)
        before = torch.get_rng_state()
        first = adapter_weights(attach_adapter(tiny_model(), LORA, seed=5))
        assert torch.equal(torch.get_rng_state(), before)
        torch.manual_seed(456)
        again = adapter_weights(attach_adapter(tiny_model(), LORA, seed=5))
    other = adapter_weights(attach_adapter(tiny_model(), LORA, seed=6))
    assert all(torch.equal(first[name], again[name]) for name in first)
    assert any(not torch.equal(first[name], other[name]) for name in first)


def test_a_saved_adapter_comes_back(tmp_path: Path):
    model = trained()
    save_adapter(model, tmp_path, "nano")
    loaded = load_adapter(tiny_model(), tmp_path)
    assert torch.equal(logits(loaded), logits(model))
    assert not any(p.requires_grad for p in loaded.parameters())
    started = attach_adapter(tiny_model(), LORA, seed=9, start=tmp_path)
    assert torch.equal(logits(started), logits(model))
    assert any(p.requires_grad for p in started.parameters())


@pytest.mark.filterwarnings("ignore:`is_gradient_checkpointing`:FutureWarning")
def test_peft_itself_reads_it(tmp_path: Path):
    model = trained()
    save_adapter(model, tmp_path, "nano")
    theirs = PeftModel.from_pretrained(tiny_model(), str(tmp_path))
    assert torch.equal(logits(theirs), logits(model))


def test_files_are_portable_and_hold_the_adapter_only(tmp_path: Path):
    save_adapter(trained(), tmp_path, "nano")
    assert sorted(p.name for p in tmp_path.iterdir()) == [
        "adapter_config.json",
        "adapter_model.safetensors",
    ]
    config = json.loads((tmp_path / "adapter_config.json").read_text())
    assert config["base_model_name_or_path"] == "nano"
    assert config["inference_mode"] is True
    assert config["target_modules"] == sorted(PROJECTIONS)
    weights = sum(t.numel() for t in adapter_weights(trained()).values())
    assert (tmp_path / "adapter_model.safetensors").stat().st_size < 4 * weights + 10_000


def test_the_same_weights_are_the_same_bytes(tmp_path: Path):
    """Whatever the order in which targets were named: PEFT keeps them in a set."""
    backwards = LoraSection(rank=4, alpha=8, targets=PROJECTIONS[::-1])
    save_adapter(trained(), tmp_path / "one", "nano")
    save_adapter(trained(lora=backwards), tmp_path / "two", "nano")
    for name in ("adapter_config.json", "adapter_model.safetensors"):
        assert (tmp_path / "one" / name).read_bytes() == (tmp_path / "two" / name).read_bytes()


@pytest.mark.parametrize(
    ("changed", "word"),
    [
        (LoraSection(rank=8, alpha=8), "lora.rank"),
        (LoraSection(rank=4, alpha=16), "lora.alpha"),
        (LoraSection(rank=4, alpha=8, targets=("q_proj",)), "lora.targets"),
    ],
)
def test_a_start_of_another_shape_is_refused(tmp_path: Path, changed: LoraSection, word: str):
    save_adapter(trained(), tmp_path, "nano")
    with pytest.raises(InputError, match=word):
        attach_adapter(tiny_model(), changed, seed=0, start=tmp_path)


def test_an_adapter_of_another_base_is_refused(tmp_path: Path):
    save_adapter(trained(), tmp_path, "nano")
    with pytest.raises(InputError, match="not those this base"):
        load_adapter(tiny_model(layers=3), tmp_path)
    with pytest.raises(InputError, match="not those this base"):
        load_adapter(tiny_model(hidden=64), tmp_path)


def test_missing_and_damaged_files_are_named(tmp_path: Path):
    with pytest.raises(InputError, match="no LoRA adapter"):
        load_adapter(tiny_model(), tmp_path / "nowhere")
    with pytest.raises(InputError, match="no LoRA adapter"):
        load_adapter(tiny_model(), tmp_path)
    model = trained()
    save_adapter(model, tmp_path, "nano")
    weights = tmp_path / "adapter_model.safetensors"
    weights.write_bytes(weights.read_bytes()[:-1])
    with pytest.raises(InputError, match="cannot be read"):
        restore_adapter(model, tmp_path)


def test_targets_the_base_lacks_are_named():
    with pytest.raises(InputError, match="wqkv"):
        attach_adapter(
            tiny_model(), LoraSection(rank=4, alpha=8, targets=("q_proj", "wqkv")), seed=0
        )
