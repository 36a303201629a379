from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from lexitrain.preparation.split import assign_splits


def keys_of(count: int, start: int = 0) -> np.ndarray:
    return np.arange(start, start + count, dtype=np.uint64) * np.uint64(0x9E3779B97F4A7C15)


def test_every_task_gets_its_share_even_where_groups_span_tasks() -> None:
    draw = np.random.default_rng(0)
    count = 6000
    tasks = draw.choice(4, count, p=[0.6, 0.25, 0.1, 0.05])
    groups = np.unique(draw.integers(0, 2500, count), return_inverse=True)[1]
    split = assign_splits(groups, tasks, keys_of(count), seed=1)
    for task in range(4):
        shares = np.bincount(split[tasks == task], minlength=3) / (tasks == task).sum()
        assert shares == pytest.approx([0.8, 0.1, 0.1], abs=0.04)
    for group in range(groups.max() + 1):
        assert len(set(split[groups == group])) == 1


@given(st.lists(st.integers(1, 30), min_size=3, max_size=40), st.integers(0, 5))
def test_no_split_is_empty_and_train_is_the_largest_draw(sizes: list[int], seed: int) -> None:
    groups = np.repeat(np.arange(len(sizes)), sizes)
    tasks = np.zeros(len(groups), np.int64)
    split = assign_splits(groups, tasks, keys_of(len(groups)), seed)
    counts = np.bincount(split, minlength=3)
    assert (counts > 0).all()
    largest_group = max(sizes)
    assert counts[1] <= 0.1 * len(groups) + largest_group
    assert counts[2] <= 0.1 * len(groups) + largest_group


def test_seventy_single_records_are_split_exactly() -> None:
    split = assign_splits(np.arange(70), np.zeros(70, np.int64), keys_of(70), 42)
    assert np.bincount(split).tolist() == [56, 7, 7]


def test_a_group_larger_than_a_held_out_split_trains() -> None:
    groups = np.array([0] * 50 + list(range(1, 51)))
    for seed in range(20):
        split = assign_splits(groups, np.zeros(100, np.int64), keys_of(100), seed)
        assert split[0] == 0


def test_the_draw_depends_on_seed_and_content_but_not_on_order() -> None:
    keys, groups, tasks = keys_of(500), np.arange(500), np.zeros(500, np.int64)
    one = assign_splits(groups, tasks, keys, seed=1)
    assert np.array_equal(one, assign_splits(groups, tasks, keys, seed=1))
    assert not np.array_equal(one, assign_splits(groups, tasks, keys, seed=2))
    order = np.random.default_rng(3).permutation(500)
    assert np.array_equal(assign_splits(groups, tasks, keys[order], seed=1), one[order])


def test_one_or_two_groups_only_train_and_nothing_is_nothing() -> None:
    assert assign_splits(np.array([0, 0, 1]), np.zeros(3, np.int64), keys_of(3), 1).tolist() == [
        0,
        0,
        0,
    ]
    assert len(assign_splits(np.empty(0, np.int64), np.empty(0, np.int64), keys_of(0), 1)) == 0
