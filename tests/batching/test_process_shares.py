"""Shares of a step: every cut is dealt once, no process has much more to do than another."""

from __future__ import annotations

from functools import partial

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from lexitrain.batching.cuts import CutCost
from lexitrain.batching.layout import lay_out
from lexitrain.batching.micro_batch import MicroBatch
from lexitrain.batching.process_shares import cuts_for, deal
from tests.step.test_equality import random_samples

COST = CutCost(pair=1e-3, floor=0)


def price(length: int) -> float:
    tokens = np.array([float(length)])
    return float(COST.of(tokens, tokens**2)[0])


def batch_of(length: int) -> MicroBatch:
    row = np.zeros((1, length), dtype=np.int64)
    flat = np.zeros(1, dtype=np.int64)
    return MicroBatch(row, row, row, flat, flat, flat)


@given(st.lists(st.integers(1, 900), max_size=12), st.integers(1, 5))
def test_every_cut_is_dealt_once_in_order_and_the_load_is_even(lengths: list[int], count: int):
    batches = [batch_of(length) for length in lengths]
    shares = deal(batches, COST, count)
    assert len(shares) == count
    places = [[next(i for i, b in enumerate(batches) if b is each) for each in s] for s in shares]
    assert sorted(place for share in places for place in share) == list(range(len(batches)))
    assert all(place == sorted(place) for place in places)
    loads = [sum(price(b.tokens.size) for b in share) for share in shares]
    dearest = max(map(price, lengths), default=0.0)
    assert max(loads) - min(loads) <= dearest + 1e-9


def cut(budget: int | None, *, blocks: bool = False, copies: int = 1) -> list[MicroBatch]:
    return lay_out(
        [sample for _ in range(copies) for sample in random_samples(0)],
        layout="tree",
        loss="completion",
        max_length=64,
        pad_id=1,
        token_budget=budget,
        cost=COST,
        blocks=blocks,
    )


@pytest.mark.parametrize("count", [2, 3, 4])
def test_a_step_that_is_cheapest_in_one_cut_is_cut_for_several_processes(count: int):
    assert len(cut(None)) == 1
    batches = cuts_for(cut, None, COST, count)
    assert len(batches) >= count
    assert all(deal(batches, COST, count))
    assert sum(b.supervised_tokens for b in batches) == cut(None)[0].supervised_tokens


def test_one_process_gets_the_cheapest_cuts_and_the_budget_holds():
    assert len(cuts_for(cut, None, COST, 1)) == 1
    assert max(b.layout_tokens for b in cuts_for(cut, 60, COST, 2)) <= 60


@pytest.mark.parametrize("count", [2, 3, 4])
def test_several_processes_need_no_more_memory_than_was_foreseen_for_one(count: int):
    """By blocks one row would be cheaper than the short cuts that one process takes for their memory."""
    under = partial(cut, blocks=True, copies=16)
    most = max(batch.layout_tokens for batch in under(None))
    assert most <= 576 < max(batch.layout_tokens for batch in under(100_000))
    batches = cuts_for(under, None, COST, count)
    assert max(batch.layout_tokens for batch in batches) <= most
