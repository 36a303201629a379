"""Adapters that others made: loaded they answer as PEFT's own loading does, or they are refused with what they are."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import torch
from peft import (
    IA3Config,
    LoHaConfig,
    LoraConfig,
    PeftModel,
    PromptTuningConfig,
    get_peft_model,
)

from lexitrain.errors import ModelError
from lexitrain.models import attach_adapter, load_adapter
from lexitrain.recipe.schema import LoraSection
from tests.bases.families import tiny_base

pytestmark = pytest.mark.filterwarnings("ignore")  # PEFT's own

TOKENS = torch.arange(3, 20)[None]
PLAIN: dict[str, Any] = {"r": 4, "lora_alpha": 8, "target_modules": ["q_proj", "v_proj"]}

#: What the adapter is -> the word of a refusal to load it, or None; the word of a refusal to start from it, or None.
KINDS: dict[str, tuple[Any, str | None, str | None]] = {
    "plain": (PLAIN, None, None),
    "a pattern for targets": (PLAIN | {"target_modules": r".*\.(q|v)_proj"}, None, r"\.\*"),
    "rsLoRA": (PLAIN | {"use_rslora": True}, None, "lora.scaling"),
    "DoRA": (PLAIN | {"use_dora": True}, None, "use_dora"),
    "ranks of their own": (PLAIN | {"rank_pattern": {"v_proj": 2}}, None, "rank_pattern"),
    "scales of their own": (PLAIN | {"alpha_pattern": {"v_proj": 2}}, None, "alpha_pattern"),
    "Gaussian": (PLAIN | {"init_lora_weights": "gaussian"}, None, None),
    "some layers": (
        PLAIN | {"layers_to_transform": [1], "layers_pattern": "layers"},
        None,
        "lora.layers",
    ),
    "biases of the base": (PLAIN | {"bias": "lora_only"}, None, "bias"),
    "biases of its own": (PLAIN | {"lora_bias": True}, None, "lora_bias"),
    "a head of its own": (PLAIN | {"modules_to_save": ["lm_head"]}, None, "modules_to_save"),
    "tokens of its own": (
        PLAIN | {"trainable_token_indices": [3, 4]},
        None,
        "trainable_token_indices",
    ),
    "PiSSA": (PLAIN | {"init_lora_weights": "pissa"}, None, "pissa"),
    "embeddings": (
        PLAIN | {"target_modules": ["q_proj", "v_proj", "embed_tokens"]},
        "embed_tokens",
        "targets",
    ),
    "the output head": (
        PLAIN | {"target_modules": ["q_proj", "v_proj", "lm_head"]},
        "lm_head",
        "targets",
    ),
    "LoHa": (LoHaConfig(r=4, alpha=8, target_modules=["q_proj"]), "LOHA", "LOHA"),
    "IA3": (IA3Config(target_modules=["q_proj"], feedforward_modules=[]), "IA3", "IA3"),
    "a prompt": (
        PromptTuningConfig(num_virtual_tokens=4, task_type="CAUSAL_LM"),
        "PROMPT_TUNING",
        "PROMPT_TUNING",
    ),
}


def logits(model: Any) -> torch.Tensor:
    with torch.no_grad():
        return model.eval()(input_ids=TOKENS).logits


@pytest.mark.parametrize("kind", KINDS)
def test_it_is_loaded_as_peft_loads_it_or_refused(kind: str, tmp_path: Path):
    settings, refused, no_start = KINDS[kind]
    config: Any = LoraConfig(**settings) if isinstance(settings, dict) else settings
    config.task_type = "CAUSAL_LM"
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        made: Any = get_peft_model(tiny_base("qwen2"), config)
        for parameter in made.parameters():
            if parameter.requires_grad:
                parameter.data.add_(torch.randn_like(parameter) * 0.2)
    made.save_pretrained(tmp_path)
    own = logits(PeftModel.from_pretrained(tiny_base("qwen2"), tmp_path))
    if refused is None:
        assert torch.allclose(logits(load_adapter(tiny_base("qwen2"), tmp_path)), own, atol=1e-5)
        assert not torch.allclose(own, logits(tiny_base("qwen2")), atol=1e-2)
    else:
        with pytest.raises(ModelError, match=refused):
            load_adapter(tiny_base("qwen2"), tmp_path)
    lora = LoraSection(rank=4, alpha=8, targets=("q_proj", "v_proj"))
    if no_start is None:
        started = attach_adapter(tiny_base("qwen2"), lora, 0, tmp_path)
        assert torch.allclose(logits(started), own, atol=1e-5)
    else:
        with pytest.raises(ModelError, match=no_start):
            attach_adapter(tiny_base("qwen2"), lora, 0, tmp_path)
