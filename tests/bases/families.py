"""A tiny model of each family, with windows shorter than the samples, and the samples."""

from __future__ import annotations

import warnings
from typing import Any

import numpy as np
import torch
from torch import nn

from lexitrain.models import attach_adapter
from lexitrain.recipe.schema import LoraSection
from lexitrain.samples.sample import Sample

VOCABULARY = 97
WINDOW = 6

_DROPOUT = (
    "attn_pdrop",
    "embd_pdrop",
    "attention_dropout",
    "hidden_dropout",
    "residual_dropout",
    "dropout",
    "resid_pdrop",
)
_COMMON: dict[str, Any] = {
    "vocab_size": VOCABULARY,
    "hidden_size": 32,
    "intermediate_size": 48,
    "num_hidden_layers": 4,
    "num_attention_heads": 4,
    "num_key_value_heads": 2,
    "head_dim": 8,
    "max_position_embeddings": 128,
    "pad_token_id": 0,
    "bos_token_id": 1,
    "eos_token_id": 2,
    "initializer_range": 0.2,  # so that a random model does not say one token for ever
    **dict.fromkeys(_DROPOUT, 0.0),
}
_WINDOW = {"sliding_window": WINDOW}
_EVERY_SECOND = {**_WINDOW, "sliding_window_pattern": 2}
_ASKED = {**_WINDOW, "use_sliding_window": True, "max_window_layers": 1}
_EXPERTS = {"num_experts_per_tok": 2, "moe_intermediate_size": 16}
_LINEAR = {
    "linear_num_value_heads": 4,
    "linear_num_key_heads": 2,
    "linear_key_head_dim": 8,
    "linear_value_head_dim": 8,
    "layer_types": ["linear_attention", "full_attention"] * 2,
    "initializer_range": 0.1,  # its products of decays round more than attention does
}
_MAMBA = {"mamba_n_heads": 8, "mamba_d_head": 8, "mamba_d_state": 8}

#: model_type -> what its configuration has besides the common fields; None takes a common field away.
FAMILIES: dict[str, dict[str, Any]] = {
    "apertus": {},
    "arcee": {},
    "bamba": {**_MAMBA, "attn_layer_indices": [1, 3]},
    "bloom": {"hidden_size": 32, "n_layer": 3, "n_head": 4},
    "cohere": {"logit_scale": 0.25},
    "cohere2": {**_EVERY_SECOND, "logit_scale": 0.25},
    "cwm": _WINDOW,
    "diffllama": {},
    "ernie4_5": {},
    "exaone4": _EVERY_SECOND,
    "falcon": {"head_dim": None, "alibi": False, "new_decoder_architecture": False},
    "falcon_h1": {"mamba_d_ssm": 32, "mamba_n_groups": 1, **_MAMBA, "mamba_n_heads": 4},
    "gemma": {},
    "gemma2": {**_WINDOW, "query_pre_attn_scalar": 8, "attn_logit_softcapping": 2.0}
    | {"final_logit_softcapping": 3.0},
    "gemma3_text": {**_EVERY_SECOND, "query_pre_attn_scalar": 8},
    "glm": {},
    "glm4": {},
    "gpt2": {},
    "gpt_neox": {"num_key_value_heads": None, "head_dim": None},
    "gpt_oss": {**_WINDOW, "num_local_experts": 4, "num_experts_per_tok": 2},
    "granite": {"logits_scaling": 3.0, "residual_multiplier": 0.5, "attention_multiplier": 0.2},
    "granitemoe": {"num_local_experts": 4, "num_experts_per_tok": 2, "logits_scaling": 3.0},
    "granitemoehybrid": {"num_local_experts": 0, "shared_intermediate_size": 32}
    | {**_MAMBA, "layer_types": ["mamba", "attention"] * 2},
    "helium": {},
    "hunyuan_v1_dense": {},
    "lfm2": {"block_ff_dim": 64, "layer_types": ["conv", "full_attention"] * 2},
    "llama": {},
    "llama4_text": {"num_local_experts": 2, "attention_chunk_size": 6, "intermediate_size_mlp": 48},
    "mamba": {"state_size": 8, "head_dim": None},
    "ministral": _WINDOW,
    "mistral": _WINDOW,
    "mixtral": {**_WINDOW, "num_local_experts": 4, "num_experts_per_tok": 2},
    "nemotron": {},
    "olmo": {},
    "olmo2": {},
    "olmo3": _WINDOW,
    "olmoe": {"num_experts": 4, "num_experts_per_tok": 2},
    "opt": {"ffn_dim": 48, "word_embed_proj_dim": 32},
    "phi": {},
    "phi3": _WINDOW,
    "qwen2": _ASKED,
    "qwen2_moe": {**_EXPERTS, "num_experts": 4, "shared_expert_intermediate_size": 16},
    "qwen3": _ASKED,
    "qwen3_5_text": _LINEAR,
    "qwen3_moe": {**_EXPERTS, "num_experts": 4},
    "qwen3_next": {**_LINEAR, **_EXPERTS, "num_experts": 4, "shared_expert_intermediate_size": 16},
    "seed_oss": {},
    "smollm3": _ASKED,
    "stablelm": {},
    "starcoder2": _WINDOW,
}


def tiny_base(family: str, *, own_attention: bool = False) -> Any:
    """The family's model with random weights, the same on every call.

    Args:
        own_attention: computed by the family's own plain code instead of PyTorch's kernel.
    """
    from transformers import AutoConfig, AutoModelForCausalLM

    stated = {**_COMMON, **FAMILIES[family]}
    config = AutoConfig.for_model(
        family, **{name: value for name, value in stated.items() if value is not None}
    )
    kinds = ("eager",) if own_attention else ("sdpa", "eager")
    with torch.random.fork_rng(devices=[]), warnings.catch_warnings():
        warnings.simplefilter("ignore")
        for kind in kinds:
            torch.manual_seed(5)
            try:
                model: Any = AutoModelForCausalLM.from_config(config, attn_implementation=kind)
                break
            except ValueError:
                if kind == kinds[-1]:
                    raise
    return model.requires_grad_(False).eval()


def projections(base: Any) -> tuple[str, ...]:
    """Names of the linear layers inside its decoder layers."""
    from transformers.pytorch_utils import Conv1D

    names = {
        # Beside other experts, which are one fused parameter, the shared one is asked for by its name.
        ".".join(name.split(".")[-2:] if ".shared_expert." in name else name.split(".")[-1:])
        for name, module in base.base_model.named_modules()
        if isinstance(module, nn.Linear | Conv1D) and ("layers." in name or "h." in name)
    }
    # A router is no projection, and PEFT cannot adapt the last one of a Mamba layer, which its kernel reads itself.
    unwanted = {"gate", "router"}
    if any(name.endswith("conv1d") for name, _ in base.named_modules()):
        unwanted.add("out_proj")
    return tuple(sorted(names - unwanted))


def adapted_base(family: str, *, own_attention: bool = False) -> Any:
    """With an adapter whose B is not zero, which would make the gradients of A zero."""
    base = tiny_base(family, own_attention=own_attention)
    lora = LoraSection(rank=2, alpha=4, targets=projections(base))
    model: Any = attach_adapter(base, lora, seed=3)
    generator = torch.Generator().manual_seed(4)
    for name, parameter in model.named_parameters():
        if "lora_B" in name:
            parameter.data.normal_(0, 0.1, generator=generator)
    return model


def tiny_samples() -> list[Sample]:
    """Six samples in two branches of one tree, longer than the window, one with two supervised turns."""
    random = np.random.default_rng(7)
    trunk = random.integers(3, VOCABULARY, 9)
    samples: list[Sample] = []
    for index in range(6):
        branch = random.integers(3, VOCABULARY, 8) if index % 2 else trunk[:3]
        prompt = np.concatenate([trunk, branch, random.integers(3, VOCABULARY, 2 + index)])
        completion = random.integers(3, VOCABULARY, 4 + index)
        supervised = np.ones(len(completion), bool)
        supervised[1:3] = index != 4
        samples.append(
            Sample(
                prompt.astype(np.int32), completion.astype(np.int32), supervised, "grammar", index
            )
        )
    return samples
