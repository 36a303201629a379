"""The order of samples: a function of seed, epoch and step."""

from __future__ import annotations

from collections import Counter

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from lexitrain.batching.sample_order import SampleOrder, fixed_subset
from lexitrain.errors import InputError


def order(tasks: list[str], seed: int = 1, batch: int = 4, epochs: int = 3, **weights: float):
    return SampleOrder(tasks, seed, batch, epochs, weights)


@given(count=st.integers(1, 40), batch=st.integers(1, 12), seed=st.integers(0, 2**32 - 1))
def test_each_epoch_holds_every_sample_once(count: int, batch: int, seed: int) -> None:
    made = order(["a"] * count, seed, batch)
    assert made.steps_per_epoch == -(-count // batch)
    assert made.total_steps == 3 * made.steps_per_epoch
    for epoch in range(3):
        steps = range(epoch * made.steps_per_epoch, (epoch + 1) * made.steps_per_epoch)
        sizes = [len(made.samples(step)) for step in steps]
        assert sorted(np.concatenate([made.samples(step) for step in steps])) == list(range(count))
        assert all(size == batch for size in sizes[:-1])


def test_a_step_does_not_depend_on_the_steps_before_it() -> None:
    one, other = order(["a"] * 50), order(["a"] * 50)
    straight = [one.samples(step).tolist() for step in range(one.total_steps)]
    backwards = [other.samples(step).tolist() for step in reversed(range(other.total_steps))]
    assert straight == backwards[::-1]
    assert straight != [order(["a"] * 50, seed=2).samples(s).tolist() for s in range(39)]
    assert straight[:13] != straight[13:26] != straight[26:]


@given(weight=st.floats(0, 5), count=st.integers(1, 30))
def test_a_weight_is_how_often_a_record_appears(weight: float, count: int) -> None:
    made = order(["a"] * count + ["b"] * 10, a=weight)
    epoch = np.concatenate([made.samples(step) for step in range(made.steps_per_epoch)])
    seen = Counter(epoch.tolist())
    assert sum(seen[each] for each in range(count)) == int(weight * count + 0.5)
    assert all(int(weight) <= seen[each] <= int(weight) + 1 for each in range(count))
    assert all(seen[each] == 1 for each in range(count, count + 10))


def test_the_fraction_of_a_weight_is_drawn_anew_each_epoch() -> None:
    made = order(["a"] * 40, batch=20, a=0.5)
    first, second, third = (set(made.samples(step).tolist()) for step in range(3))
    assert len(first) == 20
    assert not first == second == third


def test_the_cursor_says_where_a_step_lies() -> None:
    made = order(["a"] * 10)
    at = made.cursor(5)
    assert (at.step, at.epoch, at.position) == (5, 1, 2)


def test_nothing_to_train_on_is_an_error() -> None:
    with pytest.raises(InputError, match="no sample"):
        order(["a"] * 3, a=0.0)
    with pytest.raises(InputError, match="no sample"):
        order([])


def test_a_subset_is_fixed_by_the_seed_and_grows_with_the_limit() -> None:
    few, more = fixed_subset(100, 10, 7), fixed_subset(100, 30, 7)
    assert len(few) == 10
    assert set(few) < set(more)
    assert few.tolist() == fixed_subset(100, 10, 7).tolist()
    assert few.tolist() != fixed_subset(100, 10, 8).tolist()
    assert fixed_subset(5, None, 1).tolist() == fixed_subset(5, 9, 1).tolist() == [0, 1, 2, 3, 4]
