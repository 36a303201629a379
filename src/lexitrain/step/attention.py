"""Attention under one rule, `k <= q < reach[k]` and `depth[q] - depth[k] < window`, in forms of equal numbers.

The window is that of the base's layer; most have none. It counts along the path, not along the row: what lies between
two positions in the row may belong to other samples.

`dense`: one call of PyTorch's attention with a mask of `B x L x L` numbers. `blocks`: a call for each of the layout's
blocks of queries, against the columns that the block may see; nothing else is computed. What all samples share costs
each of them its own cells alone, and packed samples do not pay for each other (`block_attention.py`, on a CPU only).
`flex`: a compiled FlexAttention kernel that skips whole blocks of 128 x 128 which the rule hides; it needs a GPU of
compute capability 8.0 or later. `own`: what the base's own code computes, for rows of one sample each; no rule is
handed to it.

Every position sees at least itself, so that no row of a softmax is empty. Masks are built once a micro-batch and used
by every layer. Implementations that take sequence borders from position ids are never used: in a tree, positions do
not grow along the row.

`flex` has been checked for equality on a CPU and was not measured on a GPU.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn.attention.flex_attention import BlockMask, create_block_mask

from lexitrain.batching import TILE, DecoderShape
from lexitrain.errors import DeviceError
from lexitrain.models import masked_by, why_not_in_tiles
from lexitrain.step.block_attention import BlockedRow, additive

if TYPE_CHECKING:
    from lexitrain.batching import MicroBatch
    from lexitrain.models import AttentionKind
    from lexitrain.recipe import StepSection


@dataclass(frozen=True, slots=True)
class BatchTensors:
    """A micro-batch's arrays on the device; shapes as in `MicroBatch`.

    Attributes:
        columns: of each of its blocks.
        window_columns: of each of its blocks under the window.
        tiles: the tables of its tiles, int32, as `Tiles.tables` gives them.
    """

    tokens: Tensor
    positions: Tensor
    reach: Tensor
    predict: Tensor
    labels: Tensor
    columns: tuple[Tensor, ...]
    window_columns: tuple[Tensor, ...]
    tiles: tuple[Tensor, ...] = ()

    @classmethod
    def of(cls, batch: MicroBatch, device: torch.device) -> BatchTensors:
        """A micro-batch's arrays as tensors; to a GPU in one transfer, during which the host goes on."""
        own = [block.columns for block in batch.blocks]
        arrays = [
            *(batch.tokens, batch.positions, batch.reach, batch.predict, batch.labels),
            *own,
            *(block.columns for block in batch.window_blocks),
            *(() if batch.tiles is None else batch.tiles.tables()),
        ]
        if device.type == "cpu":
            tensors = [torch.from_numpy(array).to(device) for array in arrays]
        else:
            packed = torch.from_numpy(np.concatenate([array.ravel() for array in arrays]))
            sizes = [array.size for array in arrays]
            if device.type == "cuda":
                packed = packed.pin_memory()
            parts = packed.to(device, non_blocking=True).split(sizes)
            tensors = [part.view(array.shape) for part, array in zip(parts, arrays, strict=True)]
        tokens, positions, reach, predict, labels, *more = tensors
        seen = len(own) + len(batch.window_blocks)
        tiles = tuple(each.to(torch.int32) for each in more[seen:])
        columns = tuple(more[: len(own)]), tuple(more[len(own) : seen])
        return cls(tokens, positions, reach, predict, labels, *columns, tiles)


class BatchMasks:
    """The masks of one micro-batch, each built when a layer first asks for it.

    Args:
        kind: form of the attention: `dense`, `blocks` or `flex`.
        batch: the micro-batch.
        tensors: its arrays on the device.
        dtype: of the queries.
    """

    def __init__(
        self, kind: AttentionKind, batch: MicroBatch, tensors: BatchTensors, dtype: torch.dtype
    ) -> None:
        self.kind = kind
        self.batch = batch
        self.tensors = tensors
        self.dtype = dtype
        self._deepest = int(batch.positions.max())
        self._built: dict[int | None, Any] = {}

    def mask(self, window: int | None) -> Tensor | BlockMask | BlockedRow | WholeRows:
        """What layers with this window attend by; None: those without one."""
        if window is not None and window > self._deepest:
            window = None  # it hides nothing
        if window not in self._built:
            self._built[window] = self._build(window)
        return self._built[window]

    def _build(self, window: int | None) -> Tensor | BlockMask | BlockedRow | WholeRows:
        batch, tensors = self.batch, self.tensors
        if self.kind == "flex":
            return block_mask(tensors.reach, tensors.positions, window, tensors.tiles)
        if self.kind == "blocks" and window is None and batch.blocks:
            blocks, trunk = batch.blocks, batch.trunk
            return BlockedRow.of(tensors.reach[0], None, blocks, tensors.columns, trunk, self.dtype)
        if self.kind == "blocks" and window and window == batch.window and batch.window_blocks:
            within, blocks = (tensors.positions[0], window), batch.window_blocks
            return BlockedRow.of(
                tensors.reach[0], within, blocks, tensors.window_columns, 0, self.dtype
            )
        mask = attention_mask(tensors.reach, self.dtype, tensors.positions, window)
        return mask if self.kind == "dense" else WholeRows(mask)


def hidden_states(
    backbone: Any,
    kind: AttentionKind,
    batch: MicroBatch,
    tensors: BatchTensors,
    dtype: torch.dtype,
    decoder: Callable[[BatchTensors, BatchMasks], Tensor] | None = None,
) -> Tensor:
    """The base's last hidden states [B, L, hidden] of a micro-batch.

    Args:
        backbone: the base without its output head.
        kind: form of the attention.
        batch: the micro-batch; `own` takes only rows of one sample each.
        tensors: its arrays on the device.
        dtype: of the queries.
        decoder: the base's layers in few operators, where they are known; not with `own`.
    """
    if decoder is not None:
        return decoder(tensors, BatchMasks(kind, batch, tensors, dtype))
    if kind == "own":
        # A sample's first token reaches as far as the sample does, and padding follows it.
        column = torch.arange(tensors.reach.shape[1], device=tensors.reach.device)
        attended = (column < tensors.reach[:, :1]).long()
        output = backbone(input_ids=tensors.tokens, attention_mask=attended, use_cache=False)
        return output.last_hidden_state
    with masked_by(BatchMasks(kind, batch, tensors, dtype)):
        output = backbone(
            input_ids=tensors.tokens,
            # Of ones, and no base asks it anything: without one transformers guesses borders from positions.
            attention_mask=torch.ones_like(tensors.tokens),
            position_ids=tensors.positions,
            use_cache=False,
        )
    return output.last_hidden_state


def flex_or_dense(
    settings: StepSection, config: Any, head: Tensor, notes: list[str]
) -> AttentionKind:
    """`flex` where a GPU computes it, which is tried; else `dense`, and a note that says why.

    Args:
        settings: the recipe's section.
        config: of the base.
        head: a tensor of its device and dtype.
        notes: gets the note.

    Raises:
        DeviceError: it does not work, and the recipe asks for it by name.
    """
    shape = DecoderShape.of_config(config)
    reason = why_not_in_tiles(
        head.device, head.dtype, shape.heads, shape.key_value_heads, shape.head_dimension
    )
    if reason is None:
        return "flex"
    if settings.attention == "flex":
        raise DeviceError(
            f"FlexAttention does not work here: {reason}",
            where="step.attention",
            fix="Use step.attention=auto, which takes a dense mask then.",
        )
    notes.append(f"Attention is over a dense mask: FlexAttention does not work here ({reason}).")
    return "dense"


def attention_mask(
    reach: Tensor, dtype: torch.dtype, depth: Tensor | None = None, window: int | None = None
) -> Tensor:
    """Additive mask [B, 1, L, L] (query, key) for `reach` and `depth`, both [B, L], on their device."""
    query = torch.arange(reach.shape[1], device=reach.device)[:, None]
    visible = (query < reach[:, None, :]).tril_()  # key <= query
    if window is not None and depth is not None:
        visible &= depth[:, :, None] - depth[:, None, :] < window
    return additive(visible, dtype)[:, None]


def block_mask(
    reach: Tensor,
    depth: Tensor | None = None,
    window: int | None = None,
    tiles: tuple[Tensor, ...] = (),
) -> BlockMask:
    """FlexAttention's mask for `reach` and `depth`, both [B, L]: blocks to skip, and the rule in the others.

    Args:
        reach, depth: of the positions.
        window: of the layers.
        tiles: which blocks, where that was listed ahead; else the device finds them, with some fifty kernels.
    """
    rows, length = reach.shape

    def visible(row: Tensor, _head: Tensor, query: Tensor, key: Tensor) -> Tensor:
        seen = (key <= query) & (query < reach[row, key])
        if window is not None and depth is not None:
            seen = seen & (depth[row, query] - depth[row, key] < window)
        return seen

    if tiles and window is None:
        return BlockMask((length, length), *tiles, BLOCK_SIZE=(TILE, TILE), mask_mod=visible)
    return create_block_mask(visible, rows, None, length, length, device=reach.device)


@dataclass(frozen=True, slots=True)
class WholeRows:
    """Attention over whole rows in one call, by a kernel that takes grouped queries as they are (CPU)."""

    additive: Tensor

    def attend(self, query: Tensor, key: Tensor, value: Tensor, scale: float | None) -> Tensor:
        """Attention [B, heads, L, d]."""
        # Not imported by name: a rehearsal exchanges it for the kernel of its target.
        return nn.functional.scaled_dot_product_attention(
            query, key, value, attn_mask=self.additive, scale=scale, enable_gqa=True
        )
