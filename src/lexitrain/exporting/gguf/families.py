"""Which bases llama.cpp computes as transformers does, and what it must be told of them.

A family is exported only where every setting that changes the computation has a place in the file. All else is refused
by its name: llama.cpp would load the file and answer with another model.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from lexitrain.errors import ModelError

if TYPE_CHECKING:
    from transformers import PretrainedConfig


@dataclass(frozen=True, slots=True)
class Family:
    """Attributes:
    name: of the architecture in GGUF.
    interleaved: whether llama.cpp rotates neighbouring rows of queries and keys, and not halves of a head as
        transformers does: their rows are then written in another order.
    """

    name: str
    interleaved: bool = False


_FAMILIES = {
    "qwen2": Family("qwen2"),
    "qwen3": Family("qwen3"),
    "llama": Family("llama", interleaved=True),
}
"""transformers' model_type -> family. SmolLM, SmolLM2 and Llama 2 to 3.2 are `llama`."""


def family_of(config: PretrainedConfig) -> Family:
    """The family of a model.

    Raises:
        ModelError: llama.cpp would not compute what transformers computes with this configuration.
    """
    family = _FAMILIES.get(config.model_type)
    if family is None:
        raise ModelError(
            f"Bases of the kind {config.model_type} are not exported to GGUF here.",
            where="model.base",
            fix=f"Kinds: {', '.join(_FAMILIES)}. `--to merged` gives a folder for the converter of llama.cpp.",
        )
    for holds, what in _REFUSED:
        if holds(config):
            raise ModelError(
                f"The base has {what}, which llama.cpp does not compute for {config.model_type}.",
                where="model.base",
                fix="Use `--to merged`, and a server that runs transformers' models.",
            )
    return family


def head_size(config: PretrainedConfig) -> int:
    """Numbers of one attention head."""
    return getattr(config, "head_dim", None) or config.hidden_size // config.num_attention_heads


def rope(config: PretrainedConfig) -> dict[str, Any]:
    """The parameters of the rotary positions: `rope_theta`, `rope_type`, and those of the type."""
    found: Any = getattr(config, "rope_parameters", None) or {}
    return {"rope_type": "default", "rope_theta": 10_000.0, **found}


def _slides(config: PretrainedConfig) -> bool:
    kinds = getattr(config, "layer_types", None) or ()
    return any(kind != "full_attention" for kind in kinds) or bool(
        getattr(config, "use_sliding_window", False)
    )


def _scaled_otherwise(config: PretrainedConfig) -> bool:
    known = (
        {"default", "linear", "llama3"} if config.model_type == "llama" else {"default", "linear"}
    )
    return rope(config)["rope_type"] not in known


def _has_other_heads(config: PretrainedConfig) -> bool:
    """Of Qwen2; the others' heads may have any size."""
    heads = config.num_attention_heads * head_size(config)
    return config.model_type == "qwen2" and heads != config.hidden_size


_REFUSED: tuple[tuple[Callable[[Any], bool], str], ...] = (
    (_slides, "attention over a sliding window"),
    (_scaled_otherwise, "rotary positions that are scaled in a way of their own (rope_parameters)"),
    (
        lambda config: rope(config).get("partial_rotary_factor", 1) != 1,
        "rotary positions over a part of each head",
    ),
    (lambda config: config.hidden_act not in {"silu", "swish"}, "another activation than SiLU"),
    (lambda config: getattr(config, "pretraining_tp", 1) > 1, "matrices in parts (pretraining_tp)"),
    (_has_other_heads, "heads of another size than hidden_size / num_attention_heads (head_dim)"),
    (
        lambda config: config.model_type == "qwen3" and config.attention_bias,
        "biases of queries, keys and values (attention_bias)",
    ),
)
"""Settings of a configuration under which the computation is another, and how they are called."""
