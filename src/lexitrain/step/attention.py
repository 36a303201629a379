"""Attention under one rule, `k <= q < reach[k]`, in three forms that give the same numbers.

`dense`: one call of PyTorch's attention with a mask of `B x L x L` numbers. `blocks`: the same in blocks of queries,
each against the keys up to its end; nothing after a query is visible to it, so that half of the work falls away. On a
CPU its kernel takes grouped queries as they are, without copies of keys and values. `flex`: a compiled FlexAttention
kernel that skips whole blocks of 128 x 128 which the rule hides; it needs a GPU of compute capability 8.0 or later.

Every position sees at least itself, so that no row of a softmax is empty. The mask is built once a micro-batch and used
by every layer. Implementations that take sequence borders from position ids are never used: in a tree, positions do
not grow along the row.

Measured on a CPU (2 layers' worth of heads: 12 of 64, 2 of keys and values, 350 positions, forward and backward):
`blocks` takes two thirds of the time of `dense`; at 700 positions it takes a little more. Whole steps were not
compared, so a recipe has to ask for it. `flex` has been checked for equality on a CPU and was not measured on a GPU.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Literal

import torch
from torch import Tensor
from torch.nn.attention.flex_attention import BlockMask, create_block_mask
from torch.nn.functional import scaled_dot_product_attention

from lexitrain.errors import InputError

if TYPE_CHECKING:
    from transformers import PreTrainedModel

AttentionKind = Literal["dense", "blocks", "flex"]

#: Queries in a block, and most blocks in a row: shorter blocks save little and cost a call each.
_BLOCK = 96
_MOST_BLOCKS = 6

#: What transformers calls the form of `blocks`; the other two are its own.
_BLOCKS = "lexitrain_blocks"


def attention_kind(wanted: str, device: torch.device) -> AttentionKind:
    """The form for a recipe's `step.attention` on a device.

    Raises:
        InputError: `flex` on a CPU, where PyTorch has no backward pass for it, or on a GPU before capability 8.0.
    """
    ampere = device.type == "cuda" and torch.cuda.get_device_capability(device) >= (8, 0)
    if wanted == "flex" and not ampere:
        raise InputError(
            "FlexAttention trains on GPUs of compute capability 8.0 and later only.",
            where="step.attention",
            fix="Use step.attention=auto.",
        )
    if wanted == "auto":
        return "flex" if ampere else "dense"
    return wanted  # pyright: ignore[reportReturnType]


def use_attention(base: PreTrainedModel, kind: AttentionKind) -> None:
    """Let all layers of a base compute their attention in one of the forms."""
    from transformers.modeling_utils import ALL_ATTENTION_FUNCTIONS

    ALL_ATTENTION_FUNCTIONS.register(_BLOCKS, _in_blocks)
    names = {"dense": "sdpa", "blocks": _BLOCKS, "flex": "flex_attention"}
    base.set_attn_implementation(names[kind])


def mask_for(kind: AttentionKind, reach: Tensor, dtype: torch.dtype) -> Tensor | BlockMask:
    """What the layers get as their attention mask, for `reach` [B, L]."""
    return block_mask(reach) if kind == "flex" else attention_mask(reach, dtype)


def attention_mask(reach: Tensor, dtype: torch.dtype) -> Tensor:
    """Additive mask [B, 1, L, L] (query, key) for `reach` [B, L], on its device: 0 or minus infinity.

    PyTorch turns a boolean mask into exactly this inside each call of its attention, that is, in every layer; done
    here it is done once.
    """
    columns = torch.arange(reach.shape[1], device=reach.device)
    query, key = columns[:, None], columns[None, :]
    visible = (key <= query) & (query < reach[:, None, :])
    mask = torch.zeros(visible.shape, dtype=dtype, device=reach.device)
    return mask.masked_fill_(~visible, float("-inf"))[:, None]


def block_mask(reach: Tensor) -> BlockMask:
    """FlexAttention's mask for `reach` [B, L]: which blocks to skip, and the rule inside the others."""
    rows, length = reach.shape

    def visible(row: Tensor, _head: Tensor, query: Tensor, key: Tensor) -> Tensor:
        return (key <= query) & (query < reach[row, key])

    return create_block_mask(visible, rows, None, length, length, device=reach.device)


def _in_blocks(
    module: torch.nn.Module,
    query: Tensor,
    key: Tensor,
    value: Tensor,
    attention_mask: Tensor,
    dropout: float = 0.0,
    scaling: float | None = None,
    **_: Any,
) -> tuple[Tensor, None]:
    """Attention [B, L, heads, d] of queries [B, heads, L, d] over keys and values [B, key heads, L, d]."""
    length = query.shape[2]
    blocks = max(1, min(length // _BLOCK, _MOST_BLOCKS))
    parts: list[Tensor] = []
    for block in range(blocks):
        start, end = length * block // blocks, length * (block + 1) // blocks
        parts.append(
            scaled_dot_product_attention(
                query[:, :, start:end],
                key[:, :, :end],
                value[:, :, :end],
                attn_mask=attention_mask[:, :, start:end, :end],
                dropout_p=dropout if module.training else 0.0,
                scale=scaling,
                enable_gqa=True,
            ).transpose(1, 2)
        )
    return torch.cat(parts, dim=1), None
