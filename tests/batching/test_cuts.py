"""Cuts on a GPU, which computes while the kernels that follow are started, and the tiles of its attention."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from lexitrain.batching import query_blocks as blocks_module
from lexitrain.batching.cuts import CutCost, cheapest_cuts
from lexitrain.batching.layout import LayoutName, step_tokens
from lexitrain.batching.process_shares import cuts_for
from lexitrain.samples import Sample
from tests.batching.test_layout import (
    MAX_LENGTH,
    SAMPLES,
    all_cuts,
    any_sample,
    cut,
    make_sample,
    visible,
)

LAUNCHES = st.floats(1, 60)
COSTS = st.builds(
    CutCost, pair=st.floats(0, 0.5), floor=st.sampled_from([0.0, 5.0]), launch=LAUNCHES
)
ROWS = st.lists(st.tuples(st.integers(1, 300), st.integers(0, 299)), min_size=1, max_size=14).map(
    lambda each: [
        (length, min(shared, length - 1) if number else 0)
        for number, (length, shared) in enumerate(each)
    ]
)


def price(sizes: Sequence[int], cost: CutCost) -> float:
    tokens = np.array(sizes, dtype=np.float64)
    return max(float(cost.of(tokens, tokens**2).sum()), len(sizes) * cost.launch)


@settings(max_examples=60, deadline=None)
@given(st.lists(any_sample(), min_size=1, max_size=6), st.none() | st.integers(6, 60), COSTS)
def test_no_other_cuts_finish_earlier_and_none_as_early_are_fewer(
    samples: list[Sample], budget: int | None, cost: CutCost
):
    in_order = sorted(samples, key=lambda s: s.prompt_ids[:-1].tolist())
    found: list[tuple[float, int]] = []
    for ends in all_cuts(len(samples)):
        groups = [in_order[a:b] for a, b in zip([0, *ends[:-1]], ends, strict=True)]
        sizes = [step_tokens(group, "tree", MAX_LENGTH) for group in groups]
        pairs = zip(sizes, groups, strict=True)
        if budget is None or all(s <= budget or len(g) == 1 for s, g in pairs):
            found.append((price(sizes, cost), len(sizes)))
    chosen = [b.layout_tokens for b in cut(samples, token_budget=budget, cost=cost)]
    least = min(total for total, _ in found)
    assert price(chosen, cost) == pytest.approx(least)
    assert len(chosen) <= min(count for total, count in found if total <= least + 1e-9)


@settings(max_examples=300, deadline=None)
@given(ROWS, st.floats(0, 0.01), LAUNCHES, st.floats(1, 20), st.none() | st.integers(100, 900))
def test_a_slower_launch_never_gives_more_cuts(
    row: list[tuple[int, int]], pair: float, launch: float, slower: float, budget: int | None
):
    lengths, shared = (np.array(each, dtype=np.int64) for each in zip(*row, strict=True))

    def cuts(launch: float) -> int:
        return len(cheapest_cuts(lengths, shared, budget, CutCost(pair, 0, launch), 1, False))

    assert cuts(launch * slower) <= cuts(launch)


def test_a_launch_that_takes_longer_than_a_step_leaves_one_row_to_each_process():
    samples = [make_sample([1, n], [n] * 40) for n in range(8)]
    tokens = step_tokens(samples, "tree", MAX_LENGTH)
    cost = CutCost(pair=0.1, floor=0, launch=0.0)
    assert len(cut(samples, cost=cost)) > 2

    def rows(count: int) -> int:
        slow = replace(cost, launch=10.0 * tokens**2)
        return len(
            cuts_for(lambda budget: cut(samples, token_budget=budget, cost=slow), None, slow, count)
        )

    assert [rows(count) for count in (1, 2)] == [1, 2]


@settings(max_examples=100, deadline=None)
@given(SAMPLES, st.sampled_from(["tree", "packed", "padded"]), st.integers(1, 9))
def test_the_tiles_that_are_counted_are_those_in_which_something_is_seen(
    samples: list[Sample], layout: LayoutName, tile: int
):
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(blocks_module, "TILE", tile)
        for batch in cut(samples, layout, tiles=True):
            count = 0
            for row in range(len(batch.tokens)):
                seen = visible(batch, row)
                for query in range(0, len(seen), tile):
                    for key in range(0, len(seen), tile):
                        count += seen[query : query + tile, key : key + tile].any()
            assert batch.tiles is not None
            assert batch.tiles.count == count
            assert batch.cells == count * tile**2


def test_what_a_cut_with_tiles_is_thought_to_cost_is_close_to_what_it_costs():
    """The choice of cuts goes by an estimate; the tiles themselves are known only when a cut is laid out."""
    prefix = list(range(300))
    samples = [make_sample([*prefix, 1000 + n, *range(60)], [1] * 40) for n in range(24)]
    (one,) = cut(samples, max_length=512, tiles=True, micro_batch=24)
    estimate = sum((len(s) - 300 * (n > 0)) * len(s) for n, s in enumerate(samples))
    estimate += 128 * one.layout_tokens
    assert estimate == pytest.approx(one.cells, rel=0.25)
    dense = cut(samples, max_length=512, cost=CutCost(floor=0, launch=1))
    tiled = cut(samples, max_length=512, cost=CutCost(floor=0, launch=1), tiles=True)
    assert len(tiled) < len(dense)
