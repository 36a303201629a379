"""Attention under one rule, `k <= q < reach[k]`, in three forms that give the same numbers.

`dense`: one call of PyTorch's attention with a mask of `B x L x L` numbers. `blocks`: a call for each of the layout's
blocks of queries, against the columns that the block may see; nothing else is computed. What all samples share costs
each of them its own cells alone, and packed samples do not pay for each other (`block_attention.py`, on a CPU only).
`flex`: a compiled FlexAttention kernel that skips whole blocks of 128 x 128 which the rule hides; it needs a GPU of
compute capability 8.0 or later.

Every position sees at least itself, so that no row of a softmax is empty. Masks are built once a micro-batch and used
by every layer. Implementations that take sequence borders from position ids are never used: in a tree, positions do
not grow along the row.

`flex` has been checked for equality on a CPU and was not measured on a GPU.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor, nn
from torch.nn.attention.flex_attention import BlockMask, create_block_mask

from lexitrain.step.block_attention import BlockAttention, BlockedRow, additive

if TYPE_CHECKING:
    from transformers import PreTrainedModel

    from lexitrain.batching import Block
    from lexitrain.models import AttentionKind

#: What transformers calls the form of `blocks`; the other two are its own.
_BLOCKS = "lexitrain_blocks"


def use_attention(base: PreTrainedModel, kind: AttentionKind) -> None:
    """Let all layers of a base compute their attention in one of the forms."""
    from transformers.modeling_utils import ALL_ATTENTION_FUNCTIONS

    ALL_ATTENTION_FUNCTIONS.register(_BLOCKS, _in_blocks)
    names = {"dense": "sdpa", "blocks": _BLOCKS, "flex": "flex_attention"}
    base.set_attn_implementation(names[kind])


def attention_inputs(
    kind: AttentionKind,
    reach: Tensor,
    blocks: Sequence[Block],
    columns: Sequence[Tensor],
    trunk: int,
    dtype: torch.dtype,
) -> dict[str, Any]:
    """The keyword arguments of the base's forward pass that say who sees whom.

    Args:
        kind: form of the attention.
        reach: [B, L].
        blocks: of the row, where the layout made them.
        columns: theirs, on the device.
        trunk: columns that all later queries see besides.
        dtype: of the queries.
    """
    if kind == "flex":
        return {"attention_mask": block_mask(reach)}
    if kind == "dense" or not blocks:
        return {"attention_mask": attention_mask(reach, dtype)}
    row = BlockedRow.of(reach[0], blocks, columns, trunk, dtype)
    return {"attention_mask": None, "blocked_row": row}


def attention_mask(reach: Tensor, dtype: torch.dtype) -> Tensor:
    """Additive mask [B, 1, L, L] (query, key) for `reach` [B, L], on its device."""
    columns = torch.arange(reach.shape[1], device=reach.device)
    query, key = columns[:, None], columns[None, :]
    visible = (key <= query) & (query < reach[:, None, :])
    return additive(visible, dtype)[:, None]


def block_mask(reach: Tensor) -> BlockMask:
    """FlexAttention's mask for `reach` [B, L]: which blocks to skip, and the rule inside the others."""
    rows, length = reach.shape

    def visible(row: Tensor, _head: Tensor, query: Tensor, key: Tensor) -> Tensor:
        return (key <= query) & (query < reach[row, key])

    return create_block_mask(visible, rows, None, length, length, device=reach.device)


def _in_blocks(
    _module: torch.nn.Module,
    query: Tensor,
    key: Tensor,
    value: Tensor,
    attention_mask: Tensor | None,
    scaling: float | None = None,
    blocked_row: BlockedRow | None = None,
    **_: Any,
) -> tuple[Tensor, None]:
    """Attention [B, L, heads, d] of queries [B, heads, L, d] over keys and values [B, key heads, L, d].

    Without blocks (padded rows) it is one call over whole rows.
    """
    if blocked_row is not None:
        found = BlockAttention.apply(query, key, value, blocked_row, scaling)
        return found.transpose(1, 2), None
    if attention_mask is None:
        raise RuntimeError("the base's layers do not pass on what attention needs")
    # Not imported by name: a rehearsal exchanges it for the kernel of its target.
    found = nn.functional.scaled_dot_product_attention(
        query, key, value, attn_mask=attention_mask, scale=scaling, enable_gqa=True
    )
    return found.transpose(1, 2), None
