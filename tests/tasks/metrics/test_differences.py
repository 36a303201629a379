"""Differences of two models on the same records: against scipy, by hand, and by simulation."""

from __future__ import annotations

import math

import numpy as np
import pytest
import scipy.stats

from lexitrain.tasks.metrics.agreement import macro_f1
from lexitrain.tasks.metrics.differences import Difference, difference, holm
from lexitrain.tasks.metrics.scores import mean


def of_means(first: np.ndarray, other: np.ndarray, **options: object) -> Difference:
    return difference(mean(np.concatenate([first, other])), len(first), **options)  # type: ignore[arg-type]


def test_interval_and_p_are_those_of_a_paired_t_test() -> None:
    generator = np.random.default_rng(5)
    first = generator.random(300)
    other = first + generator.normal(0.02, 0.15, 300)
    found = of_means(first, other)
    expected = scipy.stats.ttest_rel(other, first)
    interval = expected.confidence_interval()
    assert found.value == pytest.approx(float((other - first).mean()))
    assert found.low == pytest.approx(interval.low, abs=0.003)
    assert found.high == pytest.approx(interval.high, abs=0.003)
    assert found.p == pytest.approx(expected.pvalue, abs=0.02)
    assert found.error == pytest.approx(scipy.stats.sem(other - first), rel=0.1)


def test_the_p_value_is_the_share_of_all_exchanges_where_there_are_few_records() -> None:
    """Of five differences of one sign, 2 of 32 exchanges are as large."""
    found = of_means(np.zeros(5), np.array([0.2, 0.4, 0.1, 0.3, 0.5]))
    assert found.p == pytest.approx(2 / 32, abs=0.015)


def test_equal_answers_do_not_differ_and_a_few_of_them_show_little() -> None:
    values = np.random.default_rng(0).random(400)
    found = of_means(values, values)
    assert (found.value, found.p) == (0.0, 1.0)
    assert found.no_worse(0.01) == "shown"
    few = of_means(np.ones(3), np.ones(3))
    assert (few.value, few.p) == (0.0, 1.0)
    assert few.no_worse(0.05) == "not enough evidence"
    assert (few.records_to_show(0.05) or 0) > 3


def test_the_interval_of_few_discordant_shares_is_about_that_of_the_literature() -> None:
    """Bonett and Price 2012, adjusted Wald: of 50 pairs 1 against 0; se = sqrt(3/52 - (1/52)^2) / sqrt(52)."""
    other = np.ones(50, dtype=bool)
    other[0] = False
    found = of_means(other, np.ones(50, dtype=bool))
    half = 1.96 * np.sqrt(3 / 52 - 1 / 52**2) / np.sqrt(52)
    assert found.low is not None
    assert found.high is not None
    assert (found.high - found.low) / 2 == pytest.approx(half, rel=0.25)


def test_copies_in_a_group_are_no_more_evidence() -> None:
    generator = np.random.default_rng(2)
    first, other = generator.random(12), generator.random(12)
    alone = of_means(first, other)
    copied = of_means(
        np.repeat(first, 50), np.repeat(other, 50), groups=list(np.repeat(np.arange(12), 50))
    )
    assert (copied.low, copied.high, copied.p) == pytest.approx((alone.low, alone.high, alone.p))
    assert (copied.n, copied.groups) == (600, 12)


def test_a_statistic_over_both_models_is_that_of_each() -> None:
    """A score that is no mean: the difference is that of the two scores."""
    actual = ["a", "a", "b", "b", "c"] * 8
    first = ["a", "b", "b", "b", None] * 8
    other = ["a", "a", "b", "c", "c"] * 8
    found = difference(macro_f1([*first, *other], [*actual, *actual]), 40)
    ones = np.ones((1, 40))
    expected = macro_f1(other, actual)(ones)[0] - macro_f1(first, actual)(ones)[0]
    assert found.value == pytest.approx(expected)
    assert found.low is not None
    assert found.low < found.value < (found.high or 0)  # type: ignore[operator]


def test_no_worse_by_a_margin_has_three_answers() -> None:
    def found(low: float, high: float) -> Difference:
        return Difference((low + high) / 2, low, high, 0.5, 100, 100, 0.02)

    assert found(-0.04, 0.02).no_worse(0.05) == "shown"
    assert found(-0.09, 0.02).no_worse(0.05) == "not enough evidence"
    assert found(-0.12, -0.06).no_worse(0.05) == "refuted"
    # Of an error, more is worse.
    assert found(-0.02, 0.04).no_worse(0.05, lower_is_better=True) == "shown"
    assert found(0.06, 0.12).no_worse(0.05, lower_is_better=True) == "refuted"
    undefined = Difference(None, None, None, None, 0, 0, None)
    assert undefined.no_worse(0.05) == "not enough evidence"


def test_the_records_it_takes_are_those_of_the_textbook() -> None:
    """n = (z.975 + z.80)^2 sd^2 / size^2 = 7.85 x 0.09 / 0.0025 = 283, and of few groups the variance's upper limit."""
    found = Difference(0.0, -0.03, 0.03, 1.0, 10_000, 10_000, 0.3 / 100)
    assert found.records_for(0.05) == pytest.approx(283, abs=5)
    few = Difference(0.0, -0.2, 0.2, 1.0, 20, 20, 0.3 / math.sqrt(20))
    factor = 19 / scipy.stats.chi2.ppf(0.2, 19)
    assert few.records_for(0.05) == pytest.approx(283 * factor, rel=0.01)
    assert found.records_to_show(0.05) == found.records_for(0.05)
    assert Difference(-0.05, -0.1, 0.0, 0.05, 9, 9, 0.02).records_to_show(0.05) is None


def test_holm_adjusts_as_statsmodels_documents_it() -> None:
    assert holm([0.01, 0.04, 0.03, None, 0.005]) == [
        *(pytest.approx(0.03), pytest.approx(0.06), pytest.approx(0.06), None),
        pytest.approx(0.02),
    ]
    assert holm([0.6, 0.9]) == [1.0, 1.0]
    assert holm([]) == []


@pytest.mark.parametrize("n", [3, 7, 9])
def test_a_difference_that_is_the_same_in_a_few_records_is_not_certain(n: int) -> None:
    """Each of a few records is off by 0.1, which sums only write differently: no reason for an interval of no width."""
    first = np.random.default_rng(4).random(n)
    found = of_means(first, first - 0.1)
    least = math.sqrt(2) / (n + 2)
    assert found.error == pytest.approx(least)
    assert found.high == pytest.approx(-0.1 + scipy.stats.t.ppf(0.975, n - 1) * least)
    assert found.no_worse(0.05) == "not enough evidence"
