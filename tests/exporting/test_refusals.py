"""What cannot be exported rightly is refused with its reason, and nothing of it is left behind."""

from __future__ import annotations

import json
import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import load_file, save_file

from lexitrain import export
from lexitrain.errors import (
    LexiTrainError,
)
from tests.exporting.small_bases import model_of, save_base, save_lora

SLOW = pytest.mark.slow
FORMS = ("gguf", pytest.param("merged", marks=SLOW))
Edit = Callable[[Path], None]


def refused(model: str | Path, to: str, out: Path, **options: Any) -> str:
    """Why it is refused; nothing is written."""
    with pytest.raises(LexiTrainError) as caught:
        export(model, [to], out=out, **options)
    assert not [each for each in out.rglob("*") if each.is_file()] if out.exists() else True
    assert caught.value.exit_code == 2
    return str(caught.value)


def weights(change: Callable[[dict[str, torch.Tensor]], None]) -> Edit:
    def edit(folder: Path) -> None:
        file = next(folder.glob("*.safetensors"))
        held = load_file(file)
        change(held)
        save_file(held, file, metadata={"format": "pt"})

    return edit


def settings(name: str, **fields: Any) -> Edit:
    def edit(folder: Path) -> None:
        path = folder / name
        path.write_text(json.dumps(json.loads(path.read_text()) | fields))

    return edit


def config(**fields: Any) -> Edit:
    return settings("config.json", **fields)


def set_to(name: str, value: float) -> Edit:
    def change(held: dict[str, torch.Tensor]) -> None:
        held[name].view(-1)[3] = value

    return weights(change)


def cut_off(folder: Path) -> None:
    file = next(folder.glob("*.safetensors"))
    os.truncate(file, file.stat().st_size - 1000)


def without_file(name: str) -> Edit:
    return lambda folder: (folder / name).unlink()


def without(held: dict[str, torch.Tensor], part: str) -> None:
    for name in [each for each in held if part in each]:
        del held[name]


def _save_smaller(folder: Path) -> None:
    model_of("qwen2", 400).save_pretrained(folder)


K_BIAS = "model.layers.1.self_attn.k_proj.bias"
UP = "model.layers.0.mlp.up_proj.weight"

BASES: dict[str, tuple[Edit, str]] = {
    "a lost bias": (weights(lambda held: without(held, K_BIAS)), f"lack.*{K_BIAS}"),
    "a weight more": (weights(lambda held: held.update(extra=torch.ones(2))), "hold.*extra"),
    "another shape": (weights(lambda held: held.update({UP: torch.ones(96, 60)})), r"\[96, 60\]"),
    "a head trained apart": (
        weights(lambda held: held.update({"lm_head.weight": torch.ones(503, 64)})),
        "ties lm_head.weight",
    ),
    "cut off": (cut_off, "cut off or damaged"),
    "no weights": (without_file("model.safetensors"), "no model.safetensors"),
    "a configuration that contradicts itself": (config(num_hidden_layers=3), "num_hidden_layers"),
    "more layers": (config(num_hidden_layers=3, layer_types=None), r"lack.*layers\.2"),
    "fewer layers": (config(num_hidden_layers=1, layer_types=None), r"hold.*layers\.1"),
    "another family": (
        config(model_type="llama", architectures=["LlamaForCausalLM"]),
        "hold.*bias",
    ),
    "more rows": (config(vocab_size=600), r"\[503, 64\].*\[600, 64\]"),
    "quantized": (
        config(quantization_config={"quant_method": "gptq", "bits": 4, "group_size": 128}),
        "quantized",
    ),
    "not a number": (set_to(UP, float("nan")), f"{UP} is not a number"),
    "infinite": (set_to("model.norm.weight", float("inf")), "model.norm.weight is not a number"),
    "fewer rows than tokens": (
        _save_smaller,
        r"token 502 .*400 rows",
    ),
    "no configuration": (without_file("config.json"), "config.json"),
    "no tokenizer": (without_file("tokenizer.json"), "does not write what it has read"),
}


@pytest.mark.parametrize("form", FORMS)
@pytest.mark.parametrize("fault", BASES)
def test_a_base_whose_files_are_not_one_model(fault: str, form: str, tmp_path: Path) -> None:
    edit, reason = BASES[fault]
    base = save_base(tmp_path / "base")
    edit(base)
    said = refused(base, form, tmp_path / "out", quantize=["Q8_0"])
    assert pytest.RaisesExc(Exception, match=f"(?s){reason}").matches(Exception(said)), said


ADAPTERS: dict[str, tuple[Edit, str]] = {
    "cut off": (cut_off, "cannot be read"),
    "half lost": (
        weights(lambda held: without(held, "layers.0.mlp.up_proj.lora_B")),
        "lacks half",
    ),
    "a layer lost": (
        weights(lambda held: without(held, "layers.1.self_attn.v_proj")),
        "lacks .*layers.1.self_attn.v_proj.*settings",
    ),
    "another rank": (settings("adapter_config.json", r=8), r"asks for \[8"),
    "a trained head": (
        weights(lambda held: held.update({"base_model.model.lm_head.weight": torch.ones(503, 64)})),
        "lm_head.weight, which is no part",
    ),
    "a trained embedding": (
        settings("adapter_config.json", modules_to_save=["embed_tokens"]),
        "modules_to_save",
    ),
    "biases": (settings("adapter_config.json", lora_bias=True), "lora_bias"),
    "pissa as PEFT leaves it": (
        settings("adapter_config.json", init_lora_weights="pissa"),
        "pissa",
    ),
    "activated by a text": (
        settings("adapter_config.json", alora_invocation_tokens=[5, 6]),
        "alora_invocation_tokens",
    ),
    "of a newer PEFT": (settings("adapter_config.json", use_something_new=True), "something_new"),
    "dora without lengths": (settings("adapter_config.json", use_dora=True), "use_dora"),
    "not a number": (
        set_to("base_model.model.model.layers.0.mlp.up_proj.lora_A.weight", float("nan")),
        "up_proj.weight is not a number",
    ),
    "another kind": (settings("adapter_config.json", peft_type="IA3"), "LoRA|LORA"),
}


@pytest.mark.filterwarnings("ignore:Unexpected keyword arguments")  # PEFT's own
@pytest.mark.parametrize("form", [*FORMS, pytest.param("gguf-lora", marks=SLOW)])
@pytest.mark.parametrize("fault", ADAPTERS)
def test_an_adapter_that_is_not_whole_or_not_only_lora(
    fault: str, form: str, tmp_path: Path
) -> None:
    edit, reason = ADAPTERS[fault]
    base = save_base(tmp_path / "base")
    adapter = save_lora(tmp_path / "adapter", base)
    edit(adapter)
    said = refused(adapter, form, tmp_path / "out", quantize=["Q8_0"])
    assert pytest.RaisesExc(Exception, match=f"(?s){reason}").matches(Exception(said)), said
