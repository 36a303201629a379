"""Bases are found, loaded in the right numbers, and refused in one sentence."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
import torch

from lexitrain.errors import InputError, MissingExtra
from lexitrain.models import compute_dtype, load_base, load_tokenizer
from lexitrain.models import loading as base_module
from lexitrain.models.loading import leave_cudnn_attention
from lexitrain.models.location import resolve_base
from lexitrain.recipe.schema import ModelSection
from tests.tiny import tiny_model, tiny_tokenizer

CPU = torch.device("cpu")


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A base as it lies on a disk."""
    path = tmp_path_factory.mktemp("base")
    tiny_model().save_pretrained(path)
    tiny_tokenizer().save_pretrained(path)
    return path


@pytest.fixture
def offline(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    from huggingface_hub import constants

    monkeypatch.setattr(constants, "HF_HUB_OFFLINE", True)
    monkeypatch.setattr(constants, "HF_HUB_CACHE", str(tmp_path))


def test_a_local_folder_is_loaded_frozen_in_the_dtype_asked_for(folder: Path):
    settings = ModelSection(base=str(folder))
    for dtype in (torch.float32, torch.bfloat16):
        model = load_base(settings, device=CPU, dtype=dtype)
        assert {p.dtype for p in model.parameters()} == {dtype}
        assert not any(p.requires_grad for p in model.parameters())
        assert not model.training
        assert model.config._attn_implementation == "sdpa"
    expected = tiny_model().state_dict()
    loaded = load_base(settings, device=CPU, dtype=torch.float32).state_dict()
    assert all(torch.equal(loaded[name], tensor) for name, tensor in expected.items())


def test_loading_prints_nothing(folder: Path, capfd: pytest.CaptureFixture[str]):
    load_base(ModelSection(base=str(folder)), device=CPU, dtype=torch.float32)
    load_tokenizer(str(folder))
    assert capfd.readouterr() == ("", "")


def test_the_tokenizer_keeps_its_template_and_pad(folder: Path):
    tokenizer = load_tokenizer(str(folder))
    assert tokenizer.chat_template
    assert tokenizer.pad_token_id not in (None, tokenizer.eos_token_id)


def rewritten(folder: Path, target: Path, **changes: object) -> Path:
    """The tokenizer of `folder` with other settings; None removes one."""
    tokenizer = load_tokenizer(str(folder))
    tokenizer.save_pretrained(target)
    file = target / "tokenizer_config.json"
    settings = json.loads(file.read_text()) | changes
    file.write_text(json.dumps({k: v for k, v in settings.items() if v is not None}))
    return target


def test_a_pad_that_is_the_end_of_turn_is_replaced(folder: Path, tmp_path: Path):
    path = rewritten(folder, tmp_path, pad_token="<|im_end|>")
    tokenizer = load_tokenizer(str(path))
    assert tokenizer.pad_token == "<|endoftext|>"
    assert tokenizer.pad_token_id != tokenizer.eos_token_id


def test_a_tokenizer_without_template_is_refused(folder: Path, tmp_path: Path):
    rewritten(folder, tmp_path, chat_template=None)
    (tmp_path / "chat_template.jinja").unlink(missing_ok=True)
    with pytest.raises(InputError, match="no chat template"):
        load_tokenizer(str(tmp_path))


@pytest.mark.parametrize("base", ["./nowhere", "/nowhere/at/all", "~/nowhere", "a/b/c"])
def test_a_missing_folder_is_named(base: str):
    with pytest.raises(InputError, match="no base model at"):
        resolve_base(base)


def test_hub_ids_and_nano_are_resolved(folder: Path):
    assert resolve_base("Qwen/Qwen2.5-0.5B-Instruct") == "Qwen/Qwen2.5-0.5B-Instruct"
    assert resolve_base("nano") == str(Path(base_module.__file__).parent / "nano")
    assert resolve_base(str(folder)) == str(folder)


@pytest.mark.usefixtures("offline")
def test_without_a_network_the_error_says_that_a_folder_works():
    settings = ModelSection(base="someone/some-model")
    for load in (
        lambda: load_base(settings, device=CPU, dtype=torch.float32),
        lambda: load_tokenizer("someone/some-model"),
    ):
        with pytest.raises(InputError, match="cannot be loaded") as caught:
            load()
        assert "local folder" in str(caught.value)


def test_a_folder_without_a_model_is_refused(tmp_path: Path):
    with pytest.raises(InputError, match="cannot be loaded"):
        load_base(ModelSection(base=str(tmp_path)), device=CPU, dtype=torch.float32)


def test_precision(monkeypatch: pytest.MonkeyPatch):
    assert compute_dtype("auto", CPU) is torch.float32
    assert compute_dtype("bf16", CPU) is torch.bfloat16
    gpu = torch.device("cuda", 0)
    for capability, dtype in (((7, 5), torch.float16), ((8, 0), torch.bfloat16)):
        monkeypatch.setattr(torch.cuda, "get_device_capability", lambda _, c=capability: c)
        assert compute_dtype("auto", gpu) is dtype


def test_nf4_stores_the_decoder_in_four_bits(tmp_path: Path):
    pytest.importorskip("bitsandbytes")
    tiny_model(hidden=128).save_pretrained(tmp_path)  # NF4 quantizes blocks of 64
    settings = ModelSection(base=str(tmp_path), quantization="nf4")
    model = load_base(settings, device=CPU, dtype=torch.float32)
    projection = model.get_submodule("model.layers.0.self_attn.q_proj")
    assert type(projection).__name__ == "Linear4bit"
    assert projection.weight.dtype is torch.uint8
    assert projection.weight.quant_state.nested  # the scales are quantized too
    tokens = torch.arange(12)[None]
    plain = load_base(ModelSection(base=str(tmp_path)), device=CPU, dtype=torch.float32)
    with torch.no_grad():
        ours, exact = model(tokens).logits, plain(tokens).logits
    assert torch.nn.functional.cosine_similarity(ours.ravel(), exact.ravel(), dim=0) > 0.8
    assert not torch.equal(ours, exact)


def test_nf4_without_bitsandbytes_names_the_extra(folder: Path, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(base_module, "find_spec", lambda _: None)
    settings = ModelSection(base=str(folder), quantization="nf4")
    with pytest.raises(MissingExtra, match="bitsandbytes"):
        load_base(settings, device=CPU, dtype=torch.float32)


def test_attention_of_a_gpu_is_not_planned_by_cudnn():
    """At every new length, which in generation is every token; what a CPU does is left alone."""
    before = torch.backends.cuda.cudnn_sdp_enabled()
    try:
        torch.backends.cuda.enable_cudnn_sdp(True)
        leave_cudnn_attention(torch.device("cpu"))
        assert torch.backends.cuda.cudnn_sdp_enabled()
        leave_cudnn_attention(torch.device("cuda"))
        assert not torch.backends.cuda.cudnn_sdp_enabled()
    finally:
        torch.backends.cuda.enable_cudnn_sdp(before)
