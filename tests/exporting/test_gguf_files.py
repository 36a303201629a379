"""A GGUF file holds the merged model, bit for bit in fp32, and llama.cpp computes what transformers computes."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from gguf import GGMLQuantizationType, GGUFReader, dequantize, quantize
from transformers import AutoModelForCausalLM

from lexitrain import export
from lexitrain.errors import ModelError
from lexitrain.exporting.gguf.families import family_of
from lexitrain.exporting.gguf.writing import in_type
from lexitrain.exporting.merging.merged_weights import MergedWeights
from lexitrain.models import load_tokenizer, resolve_base
from lexitrain.recipe import ModelSection
from lexitrain.serving import LlamaServer, completion, hidden_states
from tests.exporting.small_bases import as_peft_calls_it, model_of, save_base, save_lora

_LLAMA_3 = {
    "rope_type": "llama3",
    "rope_theta": 10_000.0,
    "factor": 8.0,
    "low_freq_factor": 1.0,
    "high_freq_factor": 4.0,
    "original_max_position_embeddings": 64,
}
_LINEAR = {"rope_type": "linear", "factor": 4.0, "rope_theta": 1e6}
_APART: dict[str, Any] = {"tie_word_embeddings": False}
#: Kind of base and settings, of which one at least is of another kind than in the bases before it.
SHAPES: dict[str, tuple[str, dict[str, Any]]] = {
    "qwen2": ("qwen2", {}),
    "qwen2, head apart": ("qwen2", _APART),
    "qwen2, rows without a token": ("qwen2", {"rows": 640}),
    "qwen2, linear": ("qwen2", {"rope_parameters": _LINEAR}),
    "qwen3, large heads": ("qwen3", {"head_dim": 32}),
    "qwen3, head apart": ("qwen3", _APART),
    "llama": ("llama", {}),
    "llama, large heads": ("llama", {"head_dim": 32}),
    "llama, a key head a query": ("llama", {"num_key_value_heads": 4}),
    "llama, one key head": ("llama", {"num_key_value_heads": 1}),
    "llama, biases": ("llama", {"attention_bias": True, "mlp_bias": True}),
    "llama, stretched": ("llama", {"rope_parameters": _LLAMA_3}),
    "llama, stretched large heads": ("llama", {"rope_parameters": _LLAMA_3, "head_dim": 32}),
    "llama, head apart": ("llama", {"rope_parameters": {**_LINEAR, "factor": 2.0}, **_APART}),
    "llama, large epsilon": ("llama", {"rms_norm_eps": 0.1}),
}


def exported(tmp_path: Path, shape: str, quantization: str) -> tuple[Path, Path, Path]:
    """Base, adapter and the file of both."""
    kind, settings = SHAPES[shape]
    base = save_base(tmp_path / "base", kind, **settings)
    adapter = save_lora(tmp_path / "adapter", base)
    report = export(adapter, ["gguf"], quantize=[quantization], out=tmp_path / "out")
    return base, adapter, report.files[0].path


def paired_rows(weight: np.ndarray, heads: int) -> np.ndarray:
    """The first row of a head's second half behind the first one of its first half, and so on."""
    size = len(weight) // heads
    order = [
        head * size + half * size // 2 + place
        for head in range(heads)
        for place in range(size // 2)
        for half in range(2)
    ]
    return weight[order]


@pytest.mark.parametrize(
    "shape", ["qwen2", "qwen2, head apart", "qwen3, large heads", "llama, biases"]
)
def test_numbers_are_the_merged_ones_bit_for_bit(shape: str, tmp_path: Path) -> None:
    base, adapter, file = exported(tmp_path, shape, "F32")
    stored = {each.name: each for each in GGUFReader(file).tensors}
    names = {
        "model.embed_tokens": "token_embd",
        "model.norm": "output_norm",
        "lm_head": "output",
        "self_attn.q_proj": "attn_q",
        "self_attn.k_proj": "attn_k",
        "self_attn.v_proj": "attn_v",
        "self_attn.o_proj": "attn_output",
        "self_attn.q_norm": "attn_q_norm",
        "self_attn.k_norm": "attn_k_norm",
        "mlp.gate_proj": "ffn_gate",
        "mlp.up_proj": "ffn_up",
        "mlp.down_proj": "ffn_down",
        "post_attention_layernorm": "ffn_norm",
        "input_layernorm": "attn_norm",
        "model.layers": "blk",
    }
    with MergedWeights(ModelSection(base=str(base)), adapter) as weights:
        for name in weights.names:
            expected = weights.tensor(name).numpy()
            if shape.startswith("llama"):
                heads = 4 if ".q_proj" in name else 2 if ".k_proj" in name else 0
                expected = paired_rows(expected, heads) if heads else expected
            gguf_name = name
            for ours, theirs in names.items():
                gguf_name = gguf_name.replace(ours, theirs)
            tensor = stored.pop(gguf_name)
            assert tensor.tensor_type == GGMLQuantizationType.F32
            assert np.array_equal(tensor.data, expected), name
    assert not stored


@pytest.mark.slow
@pytest.mark.parametrize("shape", ["qwen2", "llama", "llama, stretched", "llama, head apart"])
def test_transformers_reads_the_merged_model_back(shape: str, tmp_path: Path) -> None:
    base, adapter, file = exported(tmp_path, shape, "F32")
    read = AutoModelForCausalLM.from_pretrained(
        file.parent, gguf_file=file.name, dtype=torch.float32
    ).state_dict()
    with MergedWeights(ModelSection(base=str(base)), adapter) as weights:
        assert all(torch.equal(read[name], weights.tensor(name)) for name in weights.names)


@pytest.mark.slow
def test_transformers_reads_nano_and_its_adapter_back(tmp_path: Path) -> None:
    adapter = save_lora(tmp_path / "adapter", Path(resolve_base("nano")))
    file = export(adapter, ["gguf"], quantize=["F32"], out=tmp_path / "out").files[0].path
    read = AutoModelForCausalLM.from_pretrained(
        file.parent, gguf_file=file.name, dtype=torch.float32
    ).state_dict()
    with MergedWeights(ModelSection(base="nano"), adapter) as weights:
        assert all(torch.equal(read[name], weights.tensor(name)) for name in weights.names)


@pytest.mark.slow
@pytest.mark.parametrize("shape", SHAPES)
def test_llama_cpp_computes_what_transformers_computes(shape: str, tmp_path: Path) -> None:
    """Names, biases, the order of rows, rotary positions, sizes of heads: one that is wrong shows here."""
    from peft import PeftModel

    base, adapter, file = exported(tmp_path, shape, "F32")
    plain = AutoModelForCausalLM.from_pretrained(base, dtype=torch.float32)
    with as_peft_calls_it():
        model: Any = PeftModel.from_pretrained(plain, str(adapter))
    ids = np.random.default_rng(1).integers(0, 450, size=200)
    with torch.inference_mode():
        expected = torch.log_softmax(model(torch.from_numpy(ids)[None]).logits[0].double(), -1)
        greedy = model.generate(torch.from_numpy(ids)[None], max_new_tokens=8, do_sample=False)
    with LlamaServer(file, slots=1, context=256, threads=1, embeddings=True) as server:
        states = torch.from_numpy(hidden_states(server, ids.tolist()))
    with LlamaServer(file, slots=1, context=256, threads=1) as server:
        said = completion(server, ids.tolist(), most_tokens=8)
    head = model.get_output_embeddings().weight.detach()
    found = torch.log_softmax((states @ head.T).double(), -1)
    assert (expected.exp() * (expected - found)).sum(-1).mean() < 1e-5
    assert (expected.argmax(-1) == found.argmax(-1)).float().mean() >= 0.985
    assert [*said.tokens] == greedy[0, len(ids) : len(ids) + len(said.tokens)].tolist()


REFUSED: dict[str, tuple[str, dict[str, Any], str]] = {
    "a window": (
        "qwen2",
        {"use_sliding_window": True, "sliding_window": 16, "max_window_layers": 1},
        "sliding window",
    ),
    "heads of another size": ("qwen2", {"head_dim": 32}, "heads of another size"),
    "biases of qwen3": ("qwen3", {"attention_bias": True}, "attention_bias"),
    "yarn": ("qwen2", {"rope_parameters": {**_LINEAR, "rope_type": "yarn"}}, "rope_parameters"),
    "dynamic": ("llama", {"rope_parameters": {**_LINEAR, "rope_type": "dynamic"}}, "rope_param"),
    "stretched qwen": ("qwen2", {"rope_parameters": _LLAMA_3}, "rope_parameters"),
    "part of a head": (
        "llama",
        {"rope_parameters": {"rope_theta": 1e4, "partial_rotary_factor": 0.5}},
        "part of each head",
    ),
    "another activation": ("llama", {"hidden_act": "gelu"}, "another activation"),
    "another family": ("mistral", {}, "kind mistral"),
}


@pytest.mark.parametrize("fault", REFUSED)
def test_what_llama_cpp_computes_otherwise_is_refused(fault: str) -> None:
    kind, settings, reason = REFUSED[fault]
    with pytest.raises(ModelError, match=reason) as caught:
        family_of(model_of(kind, 100, **settings).config)
    assert "--to merged" in str(caught.value)


@pytest.mark.parametrize("kind", ["Q8_0", "Q4_0", "Q4_1", "Q5_0", "Q5_1", "BF16"])
def test_packed_numbers_are_those_of_ggufs_own_encoder(kind: str) -> None:
    numbers = np.random.default_rng(0).normal(size=(33, 512)).astype(np.float32)
    numbers[3, :32] = 0.0
    expected = quantize(numbers, GGMLQuantizationType[kind])
    found = in_type(numbers, GGMLQuantizationType[kind], "a weight")
    assert found.shape == expected.shape
    differing = (found != expected.view(np.uint8)).mean()
    assert differing == 0, f"{differing:.2%} of the bytes"


@pytest.mark.parametrize(("kind", "error"), [("Q2_K", 0.4), ("Q3_K", 0.2), ("Q4_K", 0.1)])
def test_small_types_decode_to_about_what_was_packed(kind: str, error: float) -> None:
    numbers = np.random.default_rng(0).normal(size=(8, 512)).astype(np.float32)
    packed = in_type(numbers, GGMLQuantizationType[kind], "a weight")
    decoded = dequantize(packed, GGMLQuantizationType[kind])
    assert error / 4 < np.sqrt(np.mean((decoded - numbers) ** 2)) < error


def test_parts_are_packed_as_the_whole_is(monkeypatch: pytest.MonkeyPatch) -> None:
    from lexitrain.exporting.gguf import writing

    numbers = np.random.default_rng(0).normal(size=(100, 256)).astype(np.float32)
    whole = in_type(numbers, GGMLQuantizationType.Q4_K, "a weight")
    monkeypatch.setattr(writing, "_CHUNK", 1000)
    assert np.array_equal(in_type(numbers, GGMLQuantizationType.Q4_K, "a weight"), whole)


def test_the_file_says_what_its_vocabulary_is(tmp_path: Path) -> None:
    base, _, file = exported(tmp_path, "qwen2, rows without a token", "Q4_K_M")
    fields = GGUFReader(file).fields
    tokenizer = load_tokenizer(str(base))

    def value(name: str) -> Any:
        return fields[name].contents()

    tokens = value("tokenizer.ggml.tokens")
    assert len(tokens) == value("qwen2.vocab_size") == 640
    assert len({*tokens}) == 640
    assert all(tokens[number] == text for text, number in tokenizer.get_vocab().items())
    types = value("tokenizer.ggml.token_type")
    assert types[len(tokenizer) :] == [5] * (640 - len(tokenizer))
    assert types[500:503] == [3, 3, 3]
    assert types[:500] == [1] * 500
    assert value("tokenizer.ggml.pre") == "qwen2"
    assert tokens[value("tokenizer.ggml.eos_token_id")] == "<|im_end|>"
    assert tokens[value("tokenizer.ggml.eot_token_id")] == "<|im_end|>"
    assert tokens[value("tokenizer.ggml.padding_token_id")] == "<|endoftext|>"
    assert value("tokenizer.ggml.add_bos_token") is False
    assert value("tokenizer.chat_template") == tokenizer.chat_template
    assert value("general.file_type") == 15


def test_a_number_that_f16_cannot_hold_is_refused(tmp_path: Path) -> None:
    base = save_base(tmp_path / "base")
    model = AutoModelForCausalLM.from_pretrained(base, dtype=torch.float32)
    model.model.layers[1].mlp.up_proj.weight.data[5, 5] = 70_000.0
    model.save_pretrained(base)
    with pytest.raises(ModelError, match=r"blk\.1\.ffn_up\.weight.*7e\+04.*F16"):
        export(base, ["gguf"], quantize=["F16"], out=tmp_path / "out")
    assert not list((tmp_path / "out").iterdir())
    report = export(base, ["gguf"], quantize=["BF16", "F32"], out=tmp_path / "out")
    assert [each.quantization for each in report.files] == ["BF16", "F32"]
