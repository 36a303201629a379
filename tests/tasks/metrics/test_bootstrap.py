from __future__ import annotations

import math

import numpy as np
import pytest
import scipy.stats

from lexitrain.tasks.metrics.agreement import pearson
from lexitrain.tasks.metrics.bootstrap import Score, bootstrap
from lexitrain.tasks.metrics.scores import distinct, mean


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
    assert bootstrap(mean([1.0, 2.0], [False, False]), 2) == Score(None, None, None, 0, 0)


def test_where_too_few_resamples_are_defined_there_is_no_interval():
    """Of two records half the resamples hold one twice, and correlate with nothing; the others give 1 or -1."""
    score = bootstrap(pearson([0.1, 0.9], [0.2, 0.4]), 2)
    assert score == Score(1.0, None, None, 2, 2)
    many = bootstrap(pearson(np.arange(9) ** 2, np.arange(9)), 9)
    assert many.low is not None
    assert many.low < many.value < many.high  # type: ignore[operator]


def test_records_of_a_group_are_drawn_together():
    """A hundred copies of each of four answers are no more evidence than the four."""
    values = [0.0, 1.0, 1.0, 0.0]
    copied = [value for value in values for _ in range(100)]
    groups = [group for group in range(4) for _ in range(100)]
    of_groups, of_four = bootstrap(mean(copied), 400, groups=groups), bootstrap(mean(values), 4)
    assert (of_groups.low, of_groups.high) == (of_four.low, of_four.high)
    assert (of_groups.n, of_groups.groups) == (400, 4)
    alone = bootstrap(mean(copied), 400)
    assert alone.low is not None
    assert alone.low > 0.4


def test_a_share_of_all_or_none_is_not_certain():
    """Three of three right answers may well be those of a model that is right in half of the cases."""
    score = bootstrap(mean([True] * 3), 3)
    assert score.low is not None
    assert score.low < 0.5
    assert score.high == 1.0
    many = bootstrap(mean([False] * 100), 100)
    assert (many.low, many.high) == (0.0, pytest.approx(0.038, abs=0.002))


def test_the_interval_of_a_share_is_wilsons():
    values = [True] * 30 + [False] * 70
    expected = scipy.stats.binomtest(30, 100).proportion_ci(method="wilson")
    score = bootstrap(mean(values), 100)
    assert score.low == pytest.approx(expected.low, abs=0.01)
    assert score.high == pytest.approx(expected.high, abs=0.01)


def test_where_all_resamples_are_alike_there_is_no_interval():
    assert bootstrap(mean([0.25, 0.25, 0.25]), 3) == Score(0.25, None, None, 3, 3)
    assert bootstrap(mean([0.0] * 9), 9) == Score(0.0, None, None, 9, 9)  # of whatever scale


def test_of_one_group_there_is_no_interval():
    score = bootstrap(mean([0.1, 0.5, 1.0]), 3, groups=[4, 4, 4])
    assert (score.low, score.high, score.n, score.groups) == (None, None, 3, 1)
    assert bootstrap(mean([0.0, 1.0]), 2, groups=[0, 0]).low is None


def test_of_few_records_the_interval_is_students():
    values = [0.2, 0.25, 0.9, 0.4]
    expected = scipy.stats.ttest_1samp(values, 0).confidence_interval()
    score = bootstrap(mean(values), 4)
    assert score.low == pytest.approx(expected.low, abs=0.03)
    assert score.high == pytest.approx(expected.high, abs=0.03)
    two = bootstrap(mean([0.2, 0.25]), 2)
    assert two.low is not None
    assert two.high is not None
    assert two.low < 0
    assert two.high > 0.5


@pytest.mark.parametrize("values", [[0.1] * 7, [0.1] * 30, [0.3 - 0.2] * 300])
def test_resamples_that_differ_by_rounding_alone_say_nothing(values: list[float]):
    """0.1 three times over thrice is not always 0.1: such an interval would be narrower than any number's digits."""
    score = bootstrap(mean(values), len(values))
    assert (score.value, score.low, score.high) == (pytest.approx(0.1), None, None)


def test_groups_of_one_share_are_as_many_records_as_there_are_groups():
    """Resamples of them are all alike, but for rounding: nothing tells how far a further group would be from them."""
    for share in (3, 7):
        values = [place % share == 0 for place in range(10 * 21)]
        score = bootstrap(mean(values), 210, groups=[place // 21 for place in range(210)])
        assert score.low is not None
        assert score.high is not None
        assert score.high - score.low > 0.3


def test_a_score_that_no_resample_has_is_without_an_interval():
    def of_all_records(weights: np.ndarray) -> np.ndarray:
        return np.where((weights > 0).all(axis=1), 1.0, np.nan)

    assert bootstrap(of_all_records, 20) == Score(1.0, None, None, 20, 20)
