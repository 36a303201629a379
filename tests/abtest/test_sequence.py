"""The confidence sequence, held against `ville` and against many looks."""

from __future__ import annotations

import math

import numpy as np
import pytest
from ville import MSPRT, AsymptoticCS
from ville._boundaries import best_rho

from lexitrain.abtest.statistics.effects import Looking, effect_of
from lexitrain.abtest.statistics.sequence import (
    always_valid_p,
    best_time,
    harmonic,
    time_of,
    widening,
)
from tests.abtest.worlds import sums


@pytest.mark.parametrize("alpha", [0.05, 0.01])
def test_the_interval_of_independent_values_is_that_of_ville(alpha: float):
    random = np.random.default_rng(0)
    values = random.normal(0.1, 2, 800)
    theirs = AsymptoticCS(alpha=alpha, t_opt=500, min_samples=2)
    theirs.fit(values)
    n, deviation = len(values), values.std(ddof=1)
    x = n / theirs.rho_  # its precision of the mixture is our 1 / ρ²
    half = widening(x, alpha) * deviation / math.sqrt(n)
    low, high = theirs.interval()
    assert (values.mean() - half, values.mean() + half) == pytest.approx((low, high), rel=1e-9)


def test_the_formula_is_that_of_the_paper():
    n, rho, alpha = 730.0, 0.07, 0.03
    paper = math.sqrt(
        2 * (n * rho**2 + 1) / (n**2 * rho**2) * math.log(math.sqrt(n * rho**2 + 1) / alpha)
    )
    assert widening(n * rho**2, alpha) / math.sqrt(n) == pytest.approx(paper, rel=1e-12)


@pytest.mark.parametrize("alpha", [0.2, 0.05, 0.001])
def test_it_is_narrowest_where_it_is_meant_to_be(alpha: float):
    best = widening(1000 / best_rho(1000, alpha), alpha)
    assert widening(best_time(alpha), alpha) < best * 1.001


@pytest.mark.parametrize("z", [-4.2, -2.8, 0.3, 3.5])
@pytest.mark.parametrize("x", [0.2, 8.0, 60.0])
def test_the_p_value_is_that_of_the_mixture_test_and_of_the_interval(z: float, x: float):
    p = always_valid_p(z, x)
    n = 400
    theirs = MSPRT(theta0=0.0, sigma=1.0, tau=math.sqrt(x / n))
    theirs.fit(np.full(n, z / math.sqrt(n)))
    assert p == pytest.approx(min(1.0, math.exp(-theirs.log_e_values_[-1])), rel=1e-9)
    for alpha in (0.5, 0.05, 0.001):
        assert (p < alpha) == (abs(z) > widening(x, alpha))


def test_time_goes_on_with_visits_though_nobody_new_comes():
    """Independent visits: 2 a learner, then 20: ten times the time, as it is of ten times the learners."""
    random = np.random.default_rng(1)
    arm = np.arange(400) % 2
    long = [[float(random.random() < 0.5) for _ in range(20)] for _ in arm]
    times = []
    for visits in (2, 20):
        part = sums(arm, [each[:visits] for each in long])
        found = effect_of(part, Looking(0.05, 2500.0))
        assert found.error is not None
        exposures = found.arms[0].exposures, found.arms[1].exposures
        times.append(time_of(found.error, exposures, 0.25, 2500.0, 0.05))
    assert times[1] / times[0] == pytest.approx(10, rel=0.25)
    assert harmonic(10, 10) == 5


def test_of_learners_who_always_say_the_same_time_goes_on_with_the_square_of_their_visits():
    """The noise of the sum does so, too: a design effect as large as the visits."""
    arm, said = np.arange(400) % 2, np.random.default_rng(2).integers(0, 2, 400)
    times = []
    for visits in (1, 8):
        found = effect_of(
            sums(arm, [[float(each)] * visits for each in said]), Looking(0.05, 2500.0)
        )
        assert found.error is not None
        exposures = found.arms[0].exposures, found.arms[1].exposures
        times.append(time_of(found.error, exposures, 0.25, 2500.0, 0.05))
    assert times[1] / times[0] == pytest.approx(64, rel=1e-9)


@pytest.mark.slow
def test_looking_all_the_time_finds_too_much_with_one_interval_and_not_with_the_other():
    naive = sequence = 0
    looking = Looking(0.05, 250.0)
    for seed in range(300):
        random = np.random.default_rng(seed)
        n = 1000
        arm = (random.random(n) < 0.5).astype(int)
        values = [[float(v)] for v in random.random(n) < 0.4]
        found = [effect_of(sums(arm[:k], values[:k]), looking) for k in range(130, n + 1, 30)]
        naive += any(each.p is not None and each.p < 0.05 for each in found)
        sequence += any(
            each.always_valid_p is not None and each.always_valid_p < 0.05 for each in found
        )
    assert naive > 0.15 * 300
    assert sequence < 0.05 * 300
