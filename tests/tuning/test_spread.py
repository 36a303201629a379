from __future__ import annotations

import numpy as np
import pytest
from scipy import stats

from lexitrain.tuning.spread import Spread, diminishing


def test_an_interval_is_that_of_scipy_and_covers_as_it_says() -> None:
    values = [0.2534, 0.2293, 0.2223]
    found = Spread.of(values)
    low, high = stats.t.interval(0.95, 2, np.mean(values), stats.sem(values))
    assert (found.low, found.high) == (pytest.approx(low, rel=1e-4), pytest.approx(high, rel=1e-4))
    draws = np.random.default_rng(1).normal(0.25, 0.01, (2000, 3))
    held = [
        spread.low <= 0.25 <= spread.high
        for spread in map(Spread.of, draws.tolist())
        if spread.low is not None and spread.high is not None
    ]
    assert np.mean(held) == pytest.approx(0.95, abs=0.015)


def test_one_seed_has_no_interval_and_shows_nothing() -> None:
    assert Spread.of([0.3]) == Spread(0.3, None, None, 1)
    assert diminishing([[0.3], [0.2]]) is None
    assert diminishing([[0.3, 0.3], [0.2]]) is None
    assert diminishing([]) is None


def test_returns_diminish_where_no_larger_value_is_shown_to_be_better() -> None:
    """Seeds differ by far more than values do, and seed by seed the values still tell apart."""
    seeds = np.array([0.0, 0.1, 0.2])
    noise = np.array([0.001, -0.001, 0.0])
    clear = [0.30 + seeds, 0.27 + seeds + noise, 0.25 + seeds - noise, 0.2499 + seeds + noise]
    assert diminishing([each.tolist() for each in clear]) == 2
    flat = [0.25 + seeds + noise, 0.2501 + seeds, 0.2499 + seeds - noise]
    assert diminishing([each.tolist() for each in flat]) == 0
