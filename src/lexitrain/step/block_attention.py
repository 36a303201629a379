"""Attention of a row whose queries fall into blocks, on PyTorch's fused CPU kernel.

Every block is one call of the kernel, over the columns that it may see. Where all samples share a long beginning (the
*trunk*), that part is one more call for all later queries together, without a mask, so that blocks can stay as narrow
as the samples are. The two halves of a query's softmax are put together by their log-sums `l`:

    out = out_trunk * s + out_own * (1 - s),   s = sigmoid(l_trunk - l_own),   l = log(exp(l_trunk) + exp(l_own))

The kernel's backward pass takes `out` and `l` of the whole softmax, from which it finds the right probabilities for any
subset of the keys (it computes scores again and subtracts `l`), so that the gradient is the sum of what the calls give.
Keys are gathered again in the backward pass; nothing is kept but queries, keys, values, `out` and `l`.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

from lexitrain.batching import Block

_forward = torch.ops.aten._scaled_dot_product_flash_attention_for_cpu
_backward = torch.ops.aten._scaled_dot_product_flash_attention_for_cpu_backward


@dataclass(frozen=True, slots=True)
class BlockedRow:
    """What every layer needs to attend by blocks.

    Attributes:
        queries: of each block, which ones.
        keys: of each block, how many.
        columns: [sum of keys], where the keys of all blocks are.
        masks: of each block, additive [1, 1, queries, keys].
        trunk: how many columns at the row's beginning all later queries see besides.
    """

    queries: list[slice]
    keys: list[int]
    columns: Tensor
    masks: list[Tensor]
    trunk: int

    @classmethod
    def of(
        cls,
        reach: Tensor,
        within: tuple[Tensor, int] | None,
        blocks: Sequence[Block],
        columns: Sequence[Tensor],
        trunk: int,
        dtype: torch.dtype,
    ) -> BlockedRow:
        """Build the masks.

        Args:
            reach: [L], of the row.
            within: its depths [L] and the window that counts in them, where there is one.
            blocks: that cover it.
            columns: theirs, on the device.
            trunk: columns that are in no block after them.
            dtype: of the queries.
        """
        return cls(
            [slice(block.start, block.end) for block in blocks],
            [len(block.columns) for block in blocks],
            torch.cat(list(columns)),
            [
                _mask(reach, within, block, seen, dtype)
                for block, seen in zip(blocks, columns, strict=True)
            ],
            trunk,
        )

    def attend(self, query: Tensor, key: Tensor, value: Tensor, scale: float | None) -> Tensor:
        """Attention [1, heads, L, d] of queries [1, heads, L, d] over keys and values [1, key heads, L, d]."""
        return BlockAttention.apply(query, key, value, self, scale)


def _mask(
    reach: Tensor,
    within: tuple[Tensor, int] | None,
    block: Block,
    columns: Tensor,
    dtype: torch.dtype,
) -> Tensor:
    query = torch.arange(block.start, block.end, device=reach.device)[:, None]
    visible = (columns <= query) & (query < reach.index_select(0, columns))
    if within is not None:
        depth, window = within
        visible &= depth[block.start : block.end, None] - depth.index_select(0, columns) < window
    return additive(visible, dtype)[None, None]


def additive(visible: Tensor, dtype: torch.dtype) -> Tensor:
    """A mask of the same shape: 0 where a key is visible, else minus infinity.

    PyTorch turns a boolean mask into exactly this inside each call of its attention, that is, in every layer; done
    here it is done once.
    """
    mask = torch.zeros(visible.shape, dtype=dtype, device=visible.device)
    return mask.masked_fill_(~visible, float("-inf"))


class BlockAttention(torch.autograd.Function):
    """Attention [1, heads, L, d] of queries [1, heads, L, d] over keys and values [1, key heads, L, d]."""

    @staticmethod
    def forward(
        ctx: Any, query: Tensor, key: Tensor, value: Tensor, row: BlockedRow, scale: float | None
    ) -> Tensor:
        """All blocks, then the trunk for every query after it."""
        whole, logs = _empty_like(query), None
        for queries, keys, values, mask in _calls(row, query, key, value):
            asking, out = query[:, :, queries], whole[:, :, queries]
            found, log = _forward(asking, keys, values, attn_mask=mask, scale=scale)
            if logs is None:
                logs = _empty_logs(query, log.dtype)
            if mask is not None:
                out.copy_(found)
                logs[:, :, queries] = log
            else:  # the trunk, which comes last: every later query has its own half by now
                own = logs[:, :, queries]
                share = torch.sigmoid(log - own).unsqueeze(-1)
                out.lerp_(found, share.to(out.dtype))
                logs[:, :, queries] = torch.logaddexp(own, log)
        ctx.save_for_backward(query, key, value, whole, logs)
        ctx.row, ctx.scale = row, scale
        return whole

    @staticmethod
    def backward(ctx: Any, *gradients: Tensor) -> tuple[Tensor | None, ...]:
        """The sum of what the calls give."""
        query, key, value, whole, logs = ctx.saved_tensors
        to_query, to_key, to_value = _empty_like(query), _zeros_like(key), _zeros_like(value)
        to_keys: list[Tensor] = []
        to_values: list[Tensor] = []
        for queries, keys, values, mask in _calls(ctx.row, query, key, value):
            found = _backward(
                gradients[0][:, :, queries],
                query[:, :, queries],
                keys,
                values,
                whole[:, :, queries],
                logs[:, :, queries],
                0.0,
                False,
                attn_mask=mask,
                scale=ctx.scale,
            )
            if mask is not None:
                to_query[:, :, queries] = found[0]
                to_keys.append(found[1])
                to_values.append(found[2])
            else:
                to_query[:, :, queries] += found[0]
                to_key[:, :, : ctx.row.trunk] += found[1]
                to_value[:, :, : ctx.row.trunk] += found[2]
        to_key.index_add_(2, ctx.row.columns, torch.cat(to_keys, 2))
        to_value.index_add_(2, ctx.row.columns, torch.cat(to_values, 2))
        return to_query, to_key, to_value, None, None


def _calls(
    row: BlockedRow, query: Tensor, key: Tensor, value: Tensor
) -> Iterator[tuple[slice, Tensor, Tensor, Tensor | None]]:
    """The kernel's calls: which queries, the keys and values that they see, and a mask; the trunk's has none."""
    keys = key.index_select(2, row.columns).split(row.keys, 2)
    values = value.index_select(2, row.columns).split(row.keys, 2)
    yield from zip(row.queries, keys, values, row.masks, strict=True)
    if row.trunk:
        later = slice(row.trunk, query.shape[2])
        yield later, key[:, :, : row.trunk], value[:, :, : row.trunk], None


def _empty_like(states: Tensor) -> Tensor:
    """Like [1, heads, L, d], with the heads of a position side by side in memory, as the kernel writes them."""
    rows, heads, length, size = states.shape
    return states.new_empty(rows, length, heads, size).transpose(1, 2)


def _zeros_like(states: Tensor) -> Tensor:
    return _empty_like(states).zero_()


def _empty_logs(query: Tensor, dtype: torch.dtype) -> Tensor:
    rows, heads, length, _ = query.shape
    return query.new_empty(rows, length, heads, dtype=dtype).transpose(1, 2)
