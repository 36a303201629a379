"""The check of the assignment, held against scipy."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import stats

from lexitrain.abtest.statistics.sample_ratio import sample_ratio


def arms(first: int, other: int) -> np.ndarray:
    return np.random.default_rng(0).permutation(np.repeat([0, 1], [first, other]))


@pytest.mark.parametrize(
    ("first", "other", "ratio"),
    [(5000, 5200, (1, 1)), (900, 120, (9, 1)), (10_400, 9_600, (1, 1)), (1, 99, (1, 20))],
)
def test_it_is_chi_squared(first: int, other: int, ratio: tuple[float, float]):
    found = sample_ratio(arms(first, other), ratio)
    if min(found.expected) < 5:
        theirs = stats.binomtest(other, first + other, ratio[1] / sum(ratio)).pvalue
    else:
        theirs = stats.chisquare([first, other], found.expected).pvalue
    assert found.p == pytest.approx(theirs, rel=1e-9)


@settings(max_examples=80, deadline=None)
@given(st.integers(0, 9), st.integers(0, 9))
def test_few_learners_are_counted_exactly(first: int, other: int):
    found = sample_ratio(arms(first, other), (1, 1))
    if 0 < first + other < 10:
        assert found.p == pytest.approx(stats.binomtest(other, first + other).pvalue, rel=1e-9)
    assert 0 < found.p <= 1
    assert not found.broken, "a test that has just begun is not broken"


def test_52_to_48_of_20_000_is_found_and_half_to_half_is_not():
    broken = sample_ratio(arms(10_400, 9_600), (1, 1))
    assert broken.broken
    assert broken.always_valid_p < 0.001
    sound = sample_ratio(arms(10_100, 9_900), (1, 1))
    assert not sound.broken
    assert sound.always_valid_p > 0.05


def test_looking_after_every_learner_is_allowed_for():
    wrong = sum(
        sample_ratio((np.random.default_rng(seed).random(3000) < 0.5).astype(np.int64), (1, 1))
        .always_valid_p < 0.05
        for seed in range(400)
    )  # fmt: skip
    assert wrong <= 0.05 * 400


def test_what_was_broken_on_the_way_is_not_forgotten():
    """200 learners into one arm and then 200 into the other: even in the end, and no coin does that."""
    found = sample_ratio(np.repeat([1, 0], 200), (1, 1))
    assert found.p == 1
    assert found.always_valid_p < 1e-9


def test_an_empty_arm_is_broken_as_soon_as_that_is_no_chance():
    assert not sample_ratio(np.zeros(10, dtype=np.int64), (1, 1)).broken
    assert sample_ratio(np.zeros(11, dtype=np.int64), (1, 1)).broken
