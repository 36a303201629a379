"""From the samples of one step to micro-batches, in one of three layouts.

`tree` puts all samples in one row and each shared beginning stored once (`prefix_tree.py`), `packed` puts them side by
side, `padded` gives each a row of its own (`padded_rows.py`). A row is cut into micro-batches between samples, where it
costs least (`cuts.py`); a cut repeats the prefix that its first sample shares with the cut before. Cutting never
changes the gradient, only its cost. Attention need not be dense: `query_blocks.py` says which columns the queries of a
row need.

Only numpy is used; 24 samples of 120 tokens take about a millisecond.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import TYPE_CHECKING, Literal

import numpy as np

from lexitrain.batching.cuts import CutCost, cheapest_cuts
from lexitrain.batching.few_shapes import SHORTEST, with_few_scored
from lexitrain.batching.micro_batch import MicroBatch
from lexitrain.batching.padded_rows import padded_batches
from lexitrain.batching.prefix_tree import depth_first, shared_with_previous, tree_row
from lexitrain.batching.query_blocks import Integers, Tiles
from lexitrain.batching.scored_tokens import LossName
from lexitrain.errors import RecipeError

if TYPE_CHECKING:
    from lexitrain.samples import Sample

LayoutName = Literal["tree", "packed", "padded"]


def lay_out(
    samples: Sequence[Sample],
    *,
    layout: LayoutName,
    loss: LossName,
    max_length: int,
    pad_id: int,
    token_budget: int | None = None,
    micro_batch: int | None = None,
    cost: CutCost | None = None,
    bucket: int = 1,
    blocks: bool = False,
    tiles: bool = False,
    few_shapes: bool = False,
    window: int | None = None,
) -> list[MicroBatch]:
    """Lay a step's samples out as micro-batches whose summed losses are the step's loss.

    Args:
        samples: the samples of the step, each `len(prompt) >= 1` and `len(completion) >= 1`.
        layout: `tree` shares prompt prefixes; `packed` puts samples side by side; `padded` gives each its own row.
        loss: `completion` scores supervised completion tokens; `all_tokens` every token but the first of a sample
            (not with `tree`, where a shared token has several successors).
        max_length: row length of `padded`, tokens. Without effect on the others.
        pad_id: token put on padding.
        token_budget: most positions a micro-batch may hold; a single sample longer than that gets its own cut. None:
            the cheapest cuts, with `blocks` the shortest that cost at most 10 % more.
        micro_batch: exact number of samples a cut, instead of the cheapest cuts.
        cost: what a cut costs; that of Qwen2.5-0.5B by default.
        bucket: lengths of `tree` and `packed` are padded to a multiple of it, so that a compiler sees few shapes.
        blocks: whether attention goes by blocks, which makes long cuts cheap. `padded` has none.
        tiles: whether attention leaves out tiles that the rule hides, which makes them cheap too, in every layout.
        few_shapes: whether rows and scored positions are padded to few numbers, for CUDA graphs.
        window: tokens that a query of the base's windowed layers sees; None where it has no such layers.

    Raises:
        RecipeError: `tree` with `all_tokens`, or a sample longer than `max_length` in `padded`.
    """
    if layout == "tree" and loss == "all_tokens":
        raise RecipeError(
            "The layout `tree` cannot score all tokens: a shared token has several successors.",
            where="step.loss",
            fix="Use `loss: completion`, or `layout: packed`.",
        )
    if not samples:
        return []
    if layout == "padded":
        return _finished(
            tiles,
            few_shapes,
            padded_batches(
                samples,
                loss=loss,
                max_length=max_length,
                pad_id=pad_id,
                token_budget=token_budget,
                micro_batch=micro_batch,
                window=window,
            ),
        )
    order, shared = _in_a_row(samples, layout)
    least = SHORTEST if tiles else 0
    lengths = np.array([len(samples[i]) for i in order], dtype=np.int64)
    if micro_batch is None:
        ends = cheapest_cuts(
            lengths,
            shared,
            token_budget,
            cost or CutCost(),
            bucket,
            blocks,
            tiles,
            few_shapes,
            least,
        )
    else:
        ends = [*range(micro_batch, len(order), micro_batch), len(order)]
    rows = [
        tree_row(
            samples,
            order[start:end],
            shared[start:end],
            loss=loss,
            pad_id=pad_id,
            bucket=bucket,
            few_shapes=few_shapes,
            least=least,
            blocks=blocks,
            window=window,
        )
        for start, end in zip([0, *ends[:-1]], ends, strict=True)
    ]
    return _finished(tiles, few_shapes, rows)


def _finished(tiles: bool, few_shapes: bool, batches: list[MicroBatch]) -> list[MicroBatch]:
    """The micro-batches, with their tiles listed and their scored positions padded where that is asked for."""
    if tiles:
        batches = [replace(each, tiles=Tiles.of(each.reach)) for each in batches]
    return [with_few_scored(each) for each in batches] if few_shapes else batches


def step_tokens(samples: Sequence[Sample], layout: LayoutName, max_length: int) -> int:
    """Positions a step of these samples takes in one cut, without bucket padding."""
    if layout == "padded":
        return len(samples) * max_length
    _, shared = _in_a_row(samples, layout)
    return sum(map(len, samples)) - int(shared.sum())


def _in_a_row(samples: Sequence[Sample], layout: LayoutName) -> tuple[list[int], Integers]:
    """The samples' order in the row, and how many leading tokens each shares with the one before it."""
    if layout == "tree":
        order = depth_first(samples)
        return order, shared_with_previous(samples, order)
    return list(range(len(samples))), np.zeros(len(samples), dtype=np.int64)
