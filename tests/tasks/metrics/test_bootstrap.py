from __future__ import annotations

import math

import numpy as np
import pytest

from lexitrain.tasks.metrics.bootstrap import bootstrap
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
