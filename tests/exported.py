"""GGUF files of the nano base and of adapters on it, and what is asked of a server."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from lexitrain.recipe.schema import ModelSection

NANO = ModelSection(base="nano")
PROJECTIONS = (
    "self_attn.q_proj",
    "self_attn.k_proj",
    "self_attn.v_proj",
    "self_attn.o_proj",
    "mlp.gate_proj",
    "mlp.up_proj",
    "mlp.down_proj",
)


def write_nano(path: Path, quantize: str = "F32", adapter: Path | None = None) -> Path:
    """The nano base as a GGUF file, with an adapter merged where one is named."""
    from lexitrain.exporting.gguf.metadata import About
    from lexitrain.exporting.gguf.mixtures import mixture
    from lexitrain.exporting.gguf.writing import write_gguf
    from lexitrain.exporting.merging.merged_weights import MergedWeights

    tokenizer = nano_tokenizer()
    with MergedWeights(NANO, adapter) as weights:
        end = tokenizer.convert_tokens_to_ids("<|im_end|>")
        about = About("nano", (), None, 0)
        write_gguf(path, weights, tokenizer, end, mixture(quantize), about)
    return path


def nano_tokenizer() -> Any:
    from lexitrain.models import load_tokenizer

    return load_tokenizer("nano", None)


def random_adapter(folder: Path, seed: int, *, size: float = 0.02, **settings: Any) -> Path:
    """An adapter for nano in PEFT form, with numbers at random; `settings` are of its LoraConfig."""
    import torch
    from safetensors.torch import save_file

    from lexitrain.models import load_base

    config = {"r": 4, "lora_alpha": 8, "use_rslora": False, "rank_pattern": {}, **settings}
    generator = torch.Generator().manual_seed(seed)
    model = load_base(NANO, device="cpu", dtype=torch.float32)
    weights: dict[str, torch.Tensor] = {}
    for name, module in model.named_modules():
        if not name.endswith(PROJECTIONS):
            continue
        ranks = [r for key, r in config["rank_pattern"].items() if name.endswith(key)]
        rank = ranks[0] if ranks else config["r"]
        outputs, inputs = module.weight.shape
        a = torch.randn(rank, inputs, generator=generator) / inputs**0.5
        b = torch.randn(outputs, rank, generator=generator) * size
        weights[f"base_model.model.{name}.lora_A.weight"] = a.contiguous()
        weights[f"base_model.model.{name}.lora_B.weight"] = b.contiguous()
        if config.get("use_dora"):
            weights[f"base_model.model.{name}.lora_magnitude_vector"] = torch.ones(outputs)
    folder.mkdir(parents=True, exist_ok=True)
    save_file(weights, str(folder / "adapter_model.safetensors"))
    targets = [each.rpartition(".")[2] for each in PROJECTIONS]
    said = {"peft_type": "LORA", "target_modules": targets, "bias": "none", **config}
    said |= {"task_type": "CAUSAL_LM", "base_model_name_or_path": "nano"}
    (folder / "adapter_config.json").write_text(json.dumps(said))
    return folder


def write_adapter(path: Path, adapter: Path) -> Path:
    """The same as a GGUF file of its own."""
    from lexitrain.exporting.gguf.adapter_file import write_gguf_adapter
    from lexitrain.exporting.merging.merged_weights import MergedWeights

    with MergedWeights(NANO, None) as weights:
        write_gguf_adapter(path, weights, adapter, path.stem)
    return path
