"""Scores of numbers and classes against scipy and scikit-learn, on the records and on resamples of them."""

from __future__ import annotations

import numpy as np
import pytest
import scipy.stats
import sklearn.metrics
from hypothesis import given, settings
from hypothesis import strategies as st

from lexitrain.tasks.metrics.agreement import (
    calibration_slope,
    confusion,
    macro_f1,
    pearson,
    quadratic_kappa,
    root_mean_square,
    spearman,
)
from lexitrain.tasks.metrics.bootstrap import Statistic, point, t_quantile

LEVELS = ("A1", "A2", "B1", "B2")
numbers = st.lists(
    st.tuples(st.integers(0, 10), st.integers(0, 10), st.integers(0, 3)), min_size=3, max_size=30
)


def resampled(statistic: Statistic, weights: list[int]) -> float:
    return float(statistic(np.array([weights], dtype=float))[0])


@settings(deadline=None)
@given(numbers)
def test_numbers_agree_with_scipy_in_every_resample(rows: list[tuple[int, int, int]]) -> None:
    predicted, actual = (np.array([row[place] / 10 for row in rows]) for place in (0, 1))
    weights = [row[2] for row in rows]
    x, y = (np.repeat(each, weights) for each in (predicted, actual))
    if len(x) < 2:
        return
    found = {
        "pearson": resampled(pearson(predicted, actual), weights),
        "spearman": resampled(spearman(predicted, actual), weights),
        "slope": resampled(calibration_slope(predicted, actual), weights),
    }
    assert resampled(root_mean_square(predicted - actual), weights) == pytest.approx(
        np.sqrt(np.mean((x - y) ** 2)), abs=1e-12
    )
    if np.ptp(y) == 0:
        assert np.isnan(found["pearson"])
        assert np.isnan(found["spearman"])
    elif np.ptp(x) == 0:
        assert (found["pearson"], found["spearman"]) == (0.0, 0.0)
        assert np.isnan(found["slope"])
    else:
        assert found["pearson"] == pytest.approx(scipy.stats.pearsonr(x, y)[0], abs=1e-9)
        assert found["spearman"] == pytest.approx(scipy.stats.spearmanr(x, y)[0], abs=1e-9)
        assert found["slope"] == pytest.approx(scipy.stats.linregress(x, y).slope, abs=1e-9)


@settings(deadline=None)
@given(numbers)
def test_classes_agree_with_scikit_learn_in_every_resample(
    rows: list[tuple[int, int, int]],
) -> None:
    predicted, actual = ([row[place] % 4 for row in rows] for place in (0, 1))
    weights = [row[2] for row in rows]
    x, y = (np.repeat(each, weights) for each in (predicted, actual))
    if not len(x):
        return
    kappa = resampled(quadratic_kappa(predicted, actual, 4), weights)
    if np.ptp(x) == 0 and np.ptp(y) == 0 and x[0] == y[0]:
        assert np.isnan(kappa)
    else:
        expected = sklearn.metrics.cohen_kappa_score(y, x, weights="quadratic", labels=range(4))
        assert kappa == pytest.approx(expected, abs=1e-9)
    names = [[LEVELS[each] for each in side] for side in (predicted, actual)]
    held = [[LEVELS[each] for each in side] for side in (x, y)]
    expected = sklearn.metrics.f1_score(held[1], held[0], average="macro", zero_division=0.0)
    assert resampled(macro_f1(*names), weights) == pytest.approx(expected, abs=1e-9)


def test_only_counted_records_have_a_rank() -> None:
    predicted, actual = [0.1, 0.5, 9.0, 0.9], [0.2, 1.0, 0.1, 0.4]
    counted = [True, True, False, True]
    expected = scipy.stats.spearmanr([0.1, 0.5, 0.9], [0.2, 1.0, 0.4])[0]
    assert point(spearman(predicted, actual, counted), 4) == pytest.approx(expected)
    assert np.isnan(point(spearman(predicted, actual, [False] * 4), 4))


def test_the_confusion_matrix_has_a_column_for_invalid_answers() -> None:
    found = confusion(["A1", None, "B2", "A1"], ["A1", "A1", "A2", "A2"], LEVELS)
    assert found.predicted == (*LEVELS, "invalid")
    assert found.counts[0] == (1, 0, 0, 0, 1)
    assert found.counts[1] == (1, 0, 0, 1, 0)
    assert sum(map(sum, found.counts)) == 4


@pytest.mark.parametrize("freedom", [1, 2, 3, 4, 5, 12, 61, 199, 200, 201, 1000])
@pytest.mark.parametrize("probability", [0.6, 0.8, 0.975, 0.999])
def test_students_quantiles_are_scipys(freedom: int, probability: float) -> None:
    expected = scipy.stats.t.ppf(probability, freedom)
    assert t_quantile(probability, freedom) == pytest.approx(expected, rel=1e-4)


@pytest.mark.parametrize("unit", [1e-9, 1e-3, 1e9])
def test_a_correlation_does_not_hang_on_the_unit(unit: float) -> None:
    """Neither does what varies: a score of an own task may be a billionth, and that is no constant."""
    generator = np.random.default_rng(8)
    predicted = generator.random(30)
    actual = predicted + generator.normal(0, 0.3, 30)
    expected = scipy.stats.linregress(predicted, actual)
    assert point(pearson(predicted * unit, actual), 30) == pytest.approx(expected.rvalue)
    assert point(pearson(predicted, actual * unit), 30) == pytest.approx(expected.rvalue)
    slope = point(calibration_slope(predicted * unit, actual), 30)
    assert slope == pytest.approx(expected.slope / unit)
    far = point(pearson(predicted + 1e6, actual), 30)
    assert far == pytest.approx(expected.rvalue)
    assert np.isnan(point(pearson(predicted, [0.1 * unit] * 30), 30))
