from __future__ import annotations

import numpy as np
import pytest

from lexitrain.tasks.metrics.agreement import macro_f1, pearson
from lexitrain.tasks.metrics.bootstrap import point
from lexitrain.tasks.metrics.scores import chrf, distinct, mean


def test_a_resample_equals_the_score_of_the_repeated_records():
    predicted, actual = np.array([0.1, 0.5, 0.2, 0.9]), np.array([0.2, 0.4, 0.1, 1.0])
    weights = np.array([[2.0, 0.0, 1.0, 1.0]])
    rows = [0, 0, 2, 3]
    expected = np.corrcoef(predicted[rows], actual[rows])[0, 1]
    assert pearson(predicted, actual)(weights)[0] == pytest.approx(expected)
    words = [["a", "b"], ["c"], ["a", "d"], []]
    # a b a b a d: three kinds of six
    assert distinct(words, 1)(weights)[0] == pytest.approx(3 / 6)


def test_a_constant_predictor_has_no_correlation():
    assert point(pearson([0.6] * 5, [0.1, 0.2, 0.3, 0.4, 0.9]), 5) == 0.0


def test_macro_f1_by_hand():
    # A1: 1 right, 1 false: P 1/2, R 1, F 2/3. B1: 1 of 3 found (one answer invalid): P 1, R 1/3, F 1/2.
    statistic = macro_f1(["A1", "A1", "B1", None], ["A1", "B1", "B1", "B1"])
    assert point(statistic, 4) == pytest.approx((2 / 3 + 1 / 2) / 2)


def test_a_mean_counts_only_what_it_is_told_to():
    assert point(mean([1, 0, 0], [True, False, True]), 3) == 0.5
    assert np.isnan(point(mean([1, 1], [False, False]), 2))


def test_a_correlation_is_over_the_counted_records_and_not_defined_where_nothing_varies():
    predicted, actual = [0.1, 0.5, 9.0, 0.9], [0.2, 0.4, 0.1, 1.0]
    counted = [True, True, False, True]
    expected = np.corrcoef([0.1, 0.5, 0.9], [0.2, 0.4, 1.0])[0, 1]
    assert point(pearson(predicted, actual, counted), 4) == pytest.approx(expected)
    assert np.isnan(point(pearson(predicted, actual, [False] * 4), 4))
    assert np.isnan(point(pearson(predicted, actual, [True, False, False, False]), 4))
    assert np.isnan(point(pearson([0.1, 0.9], [0.5, 0.5]), 2))


def test_answers_without_a_word_have_no_share_of_distinct_ones():
    assert np.isnan(point(distinct([[], []], 1), 2))
    assert np.isnan(point(distinct([["a"], []], 2), 2))


def test_chrf_takes_the_best_reference_and_gives_nothing_for_an_invalid_answer():
    scores = chrf(["good work", None, ""], [["bad", "good work"], ["a"], ["a"]])
    assert scores == [1.0, 0.0, 0.0]
    assert 0 < chrf(["good word"], [["good work"]])[0] < 1
