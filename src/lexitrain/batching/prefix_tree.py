"""The prefix tree of a step's samples, laid out depth-first in one row.

Structured prompts begin alike: the same system message, the same task name. Computed sample by sample, those tokens
are computed again and again. In the tree every shared token is there once. Each position knows its token, its depth
(the position id) and its *reach*, the index just after its subtree. One rule then says who sees whom: position `q`
attends to `k` exactly when `k <= q < reach[k]`, that is, when `k` lies on the path from the root to `q`. Samples that
share nothing, packed side by side, and padding obey the same rule.

A completion is never shared, nor is the last token of a prompt, because that is where the first completion token is
predicted: every supervised token keeps a position of its own, so that labels never collide.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from lexitrain.batching.few_shapes import row_lengths
from lexitrain.batching.micro_batch import MicroBatch
from lexitrain.batching.query_blocks import (
    Integers,
    Span,
    cheapest_blocks,
    within_window,
)
from lexitrain.batching.scored_tokens import LossName, scored_depths

if TYPE_CHECKING:
    from lexitrain.samples import Sample


def depth_first(samples: Sequence[Sample]) -> list[int]:
    """Sample indices in the lexicographic order of their prompts, equal prompts in the order given.

    Big-endian bytes compare like the tokens themselves, a prefix before its extensions.
    """
    keys = [_shareable(sample).astype(">u4").tobytes() for sample in samples]
    return sorted(range(len(samples)), key=keys.__getitem__)


def shared_with_previous(samples: Sequence[Sample], order: Sequence[int]) -> Integers:
    """For each sample in order, how many leading tokens it shares with the one before; the first shares none.

    In lexicographic order this is all a tree needs: a prefix shared with any earlier sample is shared with the
    neighbour too, so the nodes of any contiguous range are its lengths less the shares inside it.
    """
    shared = np.zeros(len(order), dtype=np.int64)
    for place in range(1, len(order)):
        before = _shareable(samples[order[place - 1]])
        here = _shareable(samples[order[place]])
        both = min(len(before), len(here))
        differs = before[:both] != here[:both]
        shared[place] = int(differs.argmax()) if differs.any() else both
    return shared


def tree_row(
    samples: Sequence[Sample],
    order: Sequence[int],
    shared: Integers,
    *,
    loss: LossName,
    pad_id: int,
    bucket: int,
    few_shapes: bool,
    least: int,
    blocks: bool,
    window: int | None,
) -> MicroBatch:
    """One row: each sample's tokens beyond what it shares with the one before it in the cut.

    Args:
        samples: those of the step.
        order: [N] indices of the cut's samples, in their order in the row.
        shared: [N] leading tokens that each shares with the one before; the first one's is not used.
        loss: which tokens are scored.
        pad_id: token put on padding.
        bucket: the row is padded to a multiple of it.
        few_shapes: whether it is padded to one of few lengths besides.
        least: the shortest length.
        blocks: whether attention goes by blocks.
        window: of the base's windowed layers, tokens; None where it has none.
    """
    chunks: list[Integers] = []
    positions: list[Integers] = []
    predict: list[Integers] = []
    labels: list[Integers] = []
    owner: list[Integers] = []
    spans: list[Span] = []
    total = sum(len(samples[i]) for i in order) - int(shared[1:].sum())
    length = int(row_lengths(np.array(total), bucket, few_shapes, least))
    reach = np.arange(1, length + 1, dtype=np.int64)  # right for padding, which sees itself alone
    path = np.empty(0, dtype=np.int64)  # column of each depth on the current root-to-leaf path
    column = 0
    for place, index in enumerate(order):
        tokens = samples[index].token_ids.astype(np.int64)
        common = int(shared[place]) if place else 0
        reach[path[common:]] = column  # the subtrees that end before this sample
        fresh = len(tokens) - common
        spans.append(Span(column, column + fresh, path[:common]))
        path = np.concatenate([path[:common], np.arange(column, column + fresh)])
        chunks.append(tokens[common:])
        positions.append(np.arange(common, len(tokens), dtype=np.int64))
        depths = scored_depths(samples[index], loss)
        predict.append(path[depths])
        labels.append(tokens[depths + 1])
        owner.append(np.full(len(depths), index, dtype=np.int64))
        column += fresh
    reach[path] = column
    padding = length - total
    if padding:
        spans.append(Span(total, length, path[:0]))
    trunk, found = cheapest_blocks(spans) if blocks else (0, ())
    depths = np.concatenate([*positions, np.zeros(padding, dtype=np.int64)])
    beyond = window is not None and int(depths.max()) >= window
    return MicroBatch(
        tokens=np.concatenate([*chunks, np.full(padding, pad_id, dtype=np.int64)])[None],
        positions=depths[None],
        reach=reach[None],
        predict=np.concatenate(predict),
        labels=np.concatenate(labels),
        sample=np.concatenate(owner),
        blocks=found,
        trunk=trunk,
        window=window if beyond else None,
        window_blocks=within_window(found, trunk, depths, window) if beyond and window else (),
    )


def _shareable(sample: Sample) -> NDArray[np.int32]:
    """The prompt without its last token: that position predicts the sample's own completion."""
    return sample.prompt_ids[:-1]
