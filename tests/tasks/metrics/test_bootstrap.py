from __future__ import annotations

import math

import numpy as np
import pytest

from lexitrain.tasks.metrics.bootstrap import Score, bootstrap
from lexitrain.tasks.metrics.scores import distinct, mean, pearson


def test_the_interval_of_a_mean_is_that_of_theory():
    values = np.random.default_rng(3).random(400)
    score = bootstrap(mean(values), 400)
    half = 1.96 * values.std() / math.sqrt(400)
    assert score.value == pytest.approx(values.mean())
    assert score.low == pytest.approx(values.mean() - half, abs=0.004)
    assert score.high == pytest.approx(values.mean() + half, abs=0.004)


def test_the_bootstrap_is_the_same_for_the_same_seed():
    statistic = mean(np.linspace(0, 1, 50) ** 2)
    assert bootstrap(statistic, 50) == bootstrap(statistic, 50)
    assert bootstrap(statistic, 50, seed=1) != bootstrap(statistic, 50)


def test_distinct_interval_holds_its_value():
    words = [[f"w{i}", "the", "cat"] for i in range(50)]
    score = bootstrap(distinct(words, 1), 50)
    assert score.value == pytest.approx(52 / 150)
    assert score.low < score.value < score.high


def test_a_score_about_three_of_a_hundred_records_is_that_of_the_three():
    values = [0.0, 1.0, 1.0] + [5.0] * 97
    score = bootstrap(mean(values, [True] * 3 + [False] * 97), 100)
    assert score == bootstrap(mean(values[:3]), 3)
    assert (score.n, score.value) == (3, pytest.approx(2 / 3))


def test_what_is_not_defined_has_no_value_and_no_interval():
    assert bootstrap(mean([1.0, 2.0], [False, False]), 2) == Score(None, None, None, 0)


def test_where_too_few_resamples_are_defined_there_is_no_interval():
    """Of two records half the resamples hold one twice, and correlate with nothing; the others give 1 or -1."""
    score = bootstrap(pearson([0.1, 0.9], [0.2, 0.4]), 2)
    assert score == Score(1.0, None, None, 2)
    many = bootstrap(pearson(np.arange(9) ** 2, np.arange(9)), 9)
    assert many.low is not None
    assert many.low < many.value < many.high  # type: ignore[operator]


def test_records_of_a_group_are_drawn_together():
    """A hundred copies of each of four answers are no more evidence than the four."""
    values = [0.0, 1.0, 1.0, 0.0]
    copied = [value for value in values for _ in range(100)]
    groups = [group for group in range(4) for _ in range(100)]
    assert bootstrap(mean(copied), 400, groups=groups) == bootstrap(mean(values), 4)
    alone = bootstrap(mean(copied), 400)
    assert alone.low is not None
    assert alone.low > 0.4
