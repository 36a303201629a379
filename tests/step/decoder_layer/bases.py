"""Small random bases of the families whose layers are known, adapted, with adapters that do something."""

from __future__ import annotations

from typing import Any

import torch
from transformers import (
    LlamaConfig,
    LlamaForCausalLM,
    Qwen2Config,
    Qwen2ForCausalLM,
    Qwen3Config,
    Qwen3ForCausalLM,
)

from lexitrain.models import attach_adapter
from lexitrain.recipe.schema import LoraSection, OptimizerSection, StepSection
from lexitrain.step import TrainingStep, build_optimizer
from tests.step.test_equality import MAX_LENGTH, PAD

KINDS: dict[str, tuple[Any, Any, dict[str, Any]]] = {
    "qwen2": (Qwen2Config, Qwen2ForCausalLM, {}),
    "qwen2 windowed": (
        Qwen2Config,
        Qwen2ForCausalLM,
        {"use_sliding_window": True, "sliding_window": 9, "max_window_layers": 1},
    ),
    "qwen3": (Qwen3Config, Qwen3ForCausalLM, {"head_dim": 16}),
    "qwen3 biased": (Qwen3Config, Qwen3ForCausalLM, {"head_dim": 8, "attention_bias": True}),
    "llama": (LlamaConfig, LlamaForCausalLM, {}),
    "llama biased": (LlamaConfig, LlamaForCausalLM, {"attention_bias": True, "mlp_bias": True}),
    "llama stretched": (
        LlamaConfig,
        LlamaForCausalLM,
        {
            "rope_parameters": {
                "rope_type": "yarn",
                "rope_theta": 10_000.0,
                "factor": 4.0,
                "original_max_position_embeddings": 64,
            }
        },
    ),
}


def adapted(
    kind: str,
    *,
    heads: tuple[int, int] = (4, 2),
    depth: int = 2,
    dtype: torch.dtype = torch.float32,
    **lora: Any,
) -> Any:
    """A base with an adapter whose B matrices are not zero."""
    config_class, model_class, settings = KINDS[kind]
    config = config_class(
        vocab_size=400,
        hidden_size=32,
        intermediate_size=48,
        num_hidden_layers=depth,
        num_attention_heads=heads[0],
        num_key_value_heads=heads[1],
        max_position_embeddings=512,
        initializer_range=0.2,
        pad_token_id=PAD,
        **settings,
    )
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(5)
        base = model_class(config)
        for name, parameter in base.named_parameters():
            if "norm" in name or name.endswith("bias"):
                parameter.data.add_(0.3 * torch.randn_like(parameter))
    base = base.to(dtype).requires_grad_(False).eval()
    model = attach_adapter(base, LoraSection(**({"rank": 4, "alpha": 8} | lora)), seed=3)
    generator = torch.Generator().manual_seed(4)
    for name, parameter in model.named_parameters():
        if "lora_B" in name:
            parameter.data.normal_(0, 0.1, generator=generator)
    return model


def step_of(model: Any, *, device: str | None = None, **settings: Any) -> TrainingStep:
    """A step on it, fp32 state."""
    return TrainingStep(
        model,
        build_optimizer(model.named_parameters(), OptimizerSection(name="adamw")),
        StepSection(head_chunk=7, **settings),
        max_length=MAX_LENGTH,
        pad_id=PAD,
        clip=1.0,
        device=device,
    )


def found_by(step: TrainingStep, samples: Any) -> tuple[float, dict[str, torch.Tensor]]:
    """Loss and gradients of a step."""
    loss = step.gradients(samples).loss
    return loss, {
        name: each.grad.clone()
        for name, each in step.model.named_parameters()
        if each.grad is not None
    }
