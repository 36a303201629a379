"""A model's weights as GGUF names and orders them."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import torch
from torch import Tensor

from lexitrain.errors import ModelError
from lexitrain.exporting.gguf.families import Family, head_size, rope

if TYPE_CHECKING:
    from transformers import PretrainedConfig

ROPE_FACTORS = "rope_freqs.weight"


@dataclass(frozen=True, slots=True)
class GgufTensor:
    """Attributes:
    name: in GGUF.
    source: the weight's name in the model.
    heads: of queries or keys whose rows are written pairwise; 0: the rows are as they are.
    """

    name: str
    source: str
    heads: int = 0

    def rows(self, weight: Tensor) -> Tensor:
        """The weight with its rows (dimension 0) in GGUF's order."""
        return interleaved(weight, self.heads) if self.heads else weight


def interleaved(weight: Tensor, heads: int) -> Tensor:
    """Rows of each head so that the two that are rotated together, which stand half a head apart, are neighbours.

    Args:
        weight: [heads * size, …].
    """
    size = weight.shape[0] // heads
    return (
        weight.reshape(heads, 2, size // 2, *weight.shape[1:]).swapaxes(1, 2).reshape(weight.shape)
    )


def gguf_tensors(
    config: PretrainedConfig, family: Family, names: tuple[str, ...]
) -> list[GgufTensor]:
    """Every weight of a model under its name in GGUF, in the model's order.

    Raises:
        ModelError: GGUF has no place for one of them.
    """
    from gguf import MODEL_ARCH, get_tensor_name_map

    known = get_tensor_name_map(MODEL_ARCH[family.name.upper()], config.num_hidden_layers)
    found: list[GgufTensor] = []
    for source in names:
        name = known.get_name(source, try_suffixes=(".weight", ".bias"))
        if name is None:
            raise ModelError(
                f"GGUF has no place for the weight {source} of a model of the kind {config.model_type}.",
                where="model.base",
                fix="Use `--to merged`.",
            )
        heads = 0
        if family.interleaved and ".attn_q." in name:
            heads = config.num_attention_heads
        elif family.interleaved and ".attn_k." in name:
            heads = config.num_key_value_heads
        found.append(GgufTensor(name, source, heads))
    return found


def rope_factors(config: PretrainedConfig) -> Tensor | None:
    """What llama.cpp divides each frequency of the rotary positions by, fp32 [head size / 2]; None where by nothing.

    Llama 3.1 and later stretch the low frequencies (`rope_type: llama3`); the numbers are transformers' own.
    """
    if rope(config)["rope_type"] != "llama3":
        return None
    from transformers.modeling_rope_utils import ROPE_INIT_FUNCTIONS

    stretched, _ = ROPE_INIT_FUNCTIONS["llama3"](config, torch.device("cpu"))
    size = head_size(config)
    plain = rope(config)["rope_theta"] ** (-torch.arange(0, size, 2, dtype=torch.float64) / size)
    return (plain / stretched.double()).float()
