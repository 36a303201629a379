"""What a base's layers do with a row of tokens: which layouts, which forms of attention and which window they allow.

`tree` and `packed` put several samples into one row and keep them apart by the mask of the attention alone. That is
right for layers that compute softmax attention and nothing else along the row. A recurrence, a convolution or a rule of
the base's own would carry one sample into the next without a word. So the layouts are offered for the families of
`EVERY_LAYOUT`, of which a test proves loss, gradients and answers against their own forward pass; every other base
trains with rows of its own (`padded`), computed by its own code from beginning to end.

A configuration is either the content of config.json or transformers' own object.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from transformers import PretrainedConfig

    Config = Mapping[str, Any] | PretrainedConfig

EVERY_LAYOUT = frozenset(
    {
        "apertus",
        "arcee",
        "cohere",
        "cohere2",
        "cwm",
        "diffllama",
        "ernie4_5",
        "exaone4",
        "gemma",
        "gemma2",
        "gemma3_text",
        "glm",
        "glm4",
        "gpt_neox",
        "gpt_oss",
        "granite",
        "granitemoe",
        "helium",
        "hunyuan_v1_dense",
        "llama",
        "ministral",
        "mistral",
        "mixtral",
        "nemotron",
        "olmo",
        "olmo2",
        "olmo3",
        "olmoe",
        "opt",
        "phi",
        "phi3",
        "qwen2",
        "qwen2_moe",
        "qwen3",
        "qwen3_moe",
        "seed_oss",
        "smollm3",
        "stablelm",
        "starcoder2",
    }
)
"""`model_type` of the families that are proven in every layout; `tests/bases` builds each of them."""

_EXPERTS = ("num_experts", "num_local_experts", "n_routed_experts", "moe_num_experts")
_ATTENTION = {"full_attention", "sliding_attention"}
_UNLESS_ASKED = ("qwen2", "qwen3", "smollm3")
"""Families whose window counts only with `use_sliding_window`, beginnings of their names."""


def only_padded(config: Config) -> str | None:
    """Why samples of this base need rows of their own; None where every layout is right."""
    kind = str(_field(config, "model_type"))
    others = sorted({str(each) for each in _field(config, "layer_types") or ()} - _ATTENTION)
    if others:
        return f"Layers of the kind {', '.join(others)} carry one sample of a row into the next."
    if kind not in EVERY_LAYOUT:
        return f"Bases of the kind {kind} have not been proven with several samples in a row."
    if _field(config, "is_causal") is False:
        return "This base lets a token see those after it."
    return None


def only_dense(config: Config) -> str | None:
    """Why attention has to be computed with a whole mask; None where every form is right."""
    dropout = _field(config, "attention_dropout")
    if dropout:
        return f"This base drops attention weights (attention_dropout={dropout})"
    if cap := _field(config, "attn_logit_softcapping"):
        return f"This base bounds attention scores (attn_logit_softcapping={cap})"
    if _field(config, "model_type") == "gpt_oss":
        return "This base has attention sinks"
    return None


def sliding_window(config: Config) -> int | None:
    """How many tokens, itself among them, a query of the base's windowed layers sees; None without such layers."""
    window, types = _field(config, "sliding_window"), _field(config, "layer_types")
    if types:
        return (window or None) if "sliding_attention" in types else None
    asked = _field(config, "use_sliding_window")
    if asked is None:
        asked = not str(_field(config, "model_type")).startswith(_UNLESS_ASKED)
    return window if window and asked else None


def unknown_cost(config: Config) -> str | None:
    """Why what a step of this base costs cannot be foreseen; None where it can."""
    if reason := only_padded(config):
        return reason
    experts = max(int(_field(config, name) or 0) for name in _EXPERTS)
    if experts > 1:
        return f"Which of its {experts} experts compute a token shows only when it is computed."
    return None


def most_tokens(config: Config) -> tuple[int, str] | None:
    """The longest sample that the base computes the same way alone and beside others, and why; None: any."""
    limits: list[tuple[int, str]] = []
    positions = _field(config, "max_position_embeddings")
    if positions:
        limits.append((int(positions), f"it has seen no more positions ({positions})"))
    shared = tokens_before_batches_count(config)
    if shared is not None:
        reason = (
            "beyond that its dynamic or longrope positions depend on the longest sample of a batch"
        )
        limits.append((shared, reason))
    return min(limits, default=None)


def tokens_before_batches_count(config: Config) -> int | None:
    """How many tokens the base computes the same way whatever else is in the batch; None: any number.

    Rotary embeddings that are `dynamic` or of the kind `longrope` go by the longest sample once one is longer.
    """
    positions = _field(config, "max_position_embeddings")
    limits: list[int] = []
    rope = _field(config, "rope_parameters") or _field(config, "rope_scaling") or {}
    for each in (rope, *(part for part in rope.values() if isinstance(part, Mapping))):
        kind = str(each.get("rope_type") or each.get("type") or "")
        first = each.get("original_max_position_embeddings") or positions
        if first and ("dynamic" in kind or kind == "longrope"):
            limits.append(int(first))
    return min(limits, default=None)


def _field(config: Config, name: str) -> Any:
    return config.get(name) if isinstance(config, Mapping) else getattr(config, name, None)
