"""Attention under one rule, `k <= q < reach[k]`, in three forms that give the same numbers.

`dense`: one call of PyTorch's attention with a mask of `B x L x L` numbers. `blocks`: a call for each of the layout's
blocks of queries, against the columns that the block may see; nothing else is computed. What all samples share costs
each of them its own cells alone, and packed samples do not pay for each other. On a CPU its kernel takes grouped
queries as they are, without copies of keys and values. `flex`: a compiled FlexAttention kernel that skips whole blocks
of 128 x 128 which the rule hides; it needs a GPU of compute capability 8.0 or later.

Every position sees at least itself, so that no row of a softmax is empty. Masks are built once a micro-batch and used
by every layer. Implementations that take sequence borders from position ids are never used: in a tree, positions do
not grow along the row.

`flex` has been checked for equality on a CPU and was not measured on a GPU; nor was `blocks`, which starts more kernels
there.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Literal

import torch
from torch import Tensor, nn
from torch.nn.attention.flex_attention import BlockMask, create_block_mask

from lexitrain.errors import InputError

if TYPE_CHECKING:
    from transformers import PreTrainedModel

    from lexitrain.blocks import Block

AttentionKind = Literal["dense", "blocks", "flex"]

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
        return "flex" if ampere else "blocks" if device.type == "cpu" else "dense"
    return wanted  # pyright: ignore[reportReturnType]


def use_attention(base: PreTrainedModel, kind: AttentionKind) -> None:
    """Let all layers of a base compute their attention in one of the forms."""
    from transformers.modeling_utils import ALL_ATTENTION_FUNCTIONS

    ALL_ATTENTION_FUNCTIONS.register(_BLOCKS, _in_blocks)
    names = {"dense": "sdpa", "blocks": _BLOCKS, "flex": "flex_attention"}
    base.set_attn_implementation(names[kind])


@dataclass(frozen=True, slots=True)
class BlockedRow:
    """What every layer needs to attend by blocks.

    Attributes:
        queries, keys: of each block, how many.
        columns: [sum of keys], where the keys of all blocks are.
        masks: of each block, additive [1, 1, queries, keys].
    """

    queries: list[int]
    keys: list[int]
    columns: Tensor
    masks: list[Tensor]


def attention_inputs(
    kind: AttentionKind,
    reach: Tensor,
    blocks: Sequence[Block],
    columns: Sequence[Tensor],
    dtype: torch.dtype,
) -> dict[str, Any]:
    """The keyword arguments of the base's forward pass that say who sees whom.

    Args:
        kind: form of the attention.
        reach: [B, L].
        blocks: of the row, where the layout made them.
        columns: theirs, on the device.
        dtype: of the queries.
    """
    if kind == "flex":
        return {"attention_mask": block_mask(reach)}
    if not blocks:
        return {"attention_mask": attention_mask(reach, dtype)}
    row = BlockedRow(
        [block.queries for block in blocks],
        [len(block.columns) for block in blocks],
        torch.cat(list(columns)),
        [
            _mask_of_block(reach[0], block, seen, dtype)
            for block, seen in zip(blocks, columns, strict=True)
        ],
    )
    return {"attention_mask": None, "blocked_row": row}


def _mask_of_block(reach: Tensor, block: Block, columns: Tensor, dtype: torch.dtype) -> Tensor:
    query = torch.arange(block.start, block.end, device=reach.device)[:, None]
    visible = (columns <= query) & (query < reach.index_select(0, columns))
    mask = torch.zeros(visible.shape, dtype=dtype, device=reach.device)
    return mask.masked_fill_(~visible, float("-inf"))[None, None]


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
    attention_mask: Tensor | None,
    dropout: float = 0.0,
    scaling: float | None = None,
    blocked_row: BlockedRow | None = None,
    **_: Any,
) -> tuple[Tensor, None]:
    """Attention [B, L, heads, d] of queries [B, heads, L, d] over keys and values [B, key heads, L, d].

    Without blocks (padded rows) it is one call over whole rows.
    """

    def attend(query: Tensor, key: Tensor, value: Tensor, mask: Tensor) -> Tensor:
        # Not imported by name: a rehearsal exchanges it for the kernel of its target.
        return nn.functional.scaled_dot_product_attention(
            query,
            key,
            value,
            attn_mask=mask,
            dropout_p=dropout if module.training else 0.0,
            scale=scaling,
            enable_gqa=True,
        ).transpose(1, 2)

    if blocked_row is None:
        if attention_mask is None:
            raise RuntimeError("the base's layers do not pass on what attention needs")
        return attend(query, key, value, attention_mask), None
    # One gather for all blocks, so that its backward pass is one sum into the keys and not one a block.
    keys = key.index_select(2, blocked_row.columns).split(blocked_row.keys, 2)
    values = value.index_select(2, blocked_row.columns).split(blocked_row.keys, 2)
    queries = query.split(blocked_row.queries, 2)
    parts = map(attend, queries, keys, values, blocked_row.masks)
    return torch.cat(list(parts), dim=1), None
