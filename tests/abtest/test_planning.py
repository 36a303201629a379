"""Sample sizes, held against statsmodels and against tests that are drawn."""

from __future__ import annotations

import math
from dataclasses import replace

import numpy as np
import pytest
from statsmodels.stats.power import NormalIndPower

from lexitrain import AbPlan, AbQuestion, AbTraffic, former_test, plan_ab
from lexitrain.abtest.planning.power import crossing, fixed_effect, sequential_effect
from lexitrain.abtest.planning.traffic import alike_within
from lexitrain.abtest.statistics.sequence import best_time, widening
from lexitrain.errors import DataError, InputError
from tests.abtest.worlds import collected, exposures

SHARE = AbQuestion("helpful", 0.6, 0.05)
MEAN = AbQuestion("stars", 3.4, 0.2, deviation=1.1)


def plan(question: AbQuestion = SHARE, **traffic: float | None) -> AbPlan:
    return plan_ab(question, AbTraffic(**{"learners_a_day": 100, **traffic}))  # type: ignore[arg-type]


@pytest.mark.parametrize("ratio", [(1, 1), (3, 1), (1, 4)])
@pytest.mark.parametrize(("power", "alpha"), [(0.8, 0.05), (0.9, 0.01)])
def test_one_visit_and_one_look_is_the_textbook(
    ratio: tuple[float, float], power: float, alpha: float
):
    found = plan(replace(MEAN, power=power, alpha=alpha, ratio=ratio)).fixed.learners
    theirs = NormalIndPower().solve_power(
        0.2 / 1.1, power=power, alpha=alpha, ratio=ratio[1] / ratio[0]
    )
    assert found == pytest.approx(theirs * sum(ratio) / ratio[0], abs=2)


def test_a_share_has_the_variance_of_both_arms():
    variance = 0.6 * 0.4 + 0.65 * 0.35
    assert plan().fixed.learners == math.ceil(2 * variance * (fixed_effect(0.05, 0.8) / 0.05) ** 2)


def test_learners_who_come_back_count_for_less_than_as_many_learners():
    once, back = plan(), plan(visits=5, visits_deviation=0, alike=0.2)
    assert AbTraffic(1, 5, 0, 1, 0.2).design_effect == pytest.approx(1 + 4 * 0.2)
    assert back.fixed.learners == pytest.approx(once.fixed.learners * 1.8 / 5, abs=2)
    assert plan(visits=5, alike=1).fixed.learners == pytest.approx(once.fixed.learners, abs=2)
    uneven = plan(visits=5, visits_deviation=5, alike=0.2)
    assert uneven.fixed.learners > back.fixed.learners
    rarely = plan(visits=5, alike=0.2, told=0.2)
    assert rarely.fixed.learners > back.fixed.learners


def test_looking_daily_costs_learners_and_may_end_earlier():
    found = plan()
    assert 1.3 < found.cost < 2
    assert found.sequential.typical_learners < found.sequential.learners
    assert found.planned.learners == found.sequential.learners


@pytest.mark.parametrize("looks", [1, 14, 200])
def test_the_chance_to_cross_is_that_of_drawn_walks(looks: int):
    theta, alpha, walks = 3.4, 0.05, 40_000
    random = np.random.default_rng(0)
    steps = random.normal(theta / looks, 1 / math.sqrt(looks), (walks, looks))
    path = steps.cumsum(axis=1)
    times = np.arange(1, looks + 1) / looks
    bound = np.array([widening(t * best_time(alpha), alpha) * math.sqrt(t) for t in times])
    out = np.abs(path) >= bound
    first = np.where(out.any(axis=1), out.argmax(axis=1), looks)
    right = np.array([w < looks and path[i, w] > 0 for i, w in enumerate(first)])
    found = crossing(theta, alpha, looks)
    assert found.power == pytest.approx(right.mean(), abs=0.008)
    assert found.found[looks // 2] == pytest.approx(
        (right & (first <= looks // 2)).mean(), abs=0.008
    )


def test_the_effect_for_a_power_has_that_power():
    for looks in (7, 60):
        theta = sequential_effect(0.05, 0.9, looks)
        assert crossing(theta, 0.05, looks).power == pytest.approx(0.9, abs=1e-3)
        assert theta > fixed_effect(0.05, 0.9)


def test_a_hopeless_test_is_told_and_what_would_be_possible_instead():
    found = plan(AbQuestion("helpful", 0.6, 0.01), learners_a_day=10)
    assert found.hopeless
    assert found.within == 900
    assert found.possible is not None
    instead = plan(AbQuestion("helpful", 0.6, found.possible), learners_a_day=10)
    assert not instead.hopeless
    assert instead.sequential.learners == pytest.approx(900, abs=2)
    smaller = plan(AbQuestion("helpful", 0.6, 0.97 * found.possible), learners_a_day=10)
    assert smaller.hopeless
    few = plan(AbQuestion("helpful", 0.6, 0.3), learners=30)
    assert few.hopeless
    assert few.possible is None


def test_a_fall_is_planned_for_as_a_rise_is():
    down = plan(AbQuestion("stars", 3.4, -0.2, deviation=1.1))
    assert down.fixed == plan(MEAN).fixed
    assert down.planned.effect == 0.2
    assert down.possible is not None
    assert down.possible < 0


def test_weeks_are_whole():
    assert plan(learners_a_day=1e6).weeks == 1
    found = plan()
    assert found.weeks == math.ceil(found.sequential.days / 7)


@pytest.mark.parametrize(
    ("question", "traffic", "told"),
    [
        (AbQuestion("helpful", 0.98, 0.05), {}, "between 0 and 1"),
        (AbQuestion("helpful", 0.6, 0), {}, "other than 0"),
        (AbQuestion("helpful", 60, 5), {}, "baseline"),
        (AbQuestion("helpful", math.nan, 0.1), {}, "baseline"),
        (AbQuestion("stars", 3.4, 0.2), {}, "standard deviation"),
        (AbQuestion("stars", 3.4, math.inf, deviation=1), {}, "other than 0"),
        (AbQuestion("starz", 3.4, 0.2), {}, "stars"),
        (replace(SHARE, power=0.2), {}, "power"),
        (replace(SHARE, alpha=0), {}, "alpha"),
        (replace(SHARE, ratio=(1, 0)), {}, "ratio"),
        (SHARE, {"learners_a_day": 0}, "learners a day"),
        (SHARE, {"visits": 0.5}, "visits"),
        (SHARE, {"told": 0}, "rated"),
        (SHARE, {"alike": 1.5}, "correlation"),
        (SHARE, {"learners": 1}, "two learners"),
    ],
)
def test_a_number_that_no_test_has_is_refused(
    question: AbQuestion, traffic: dict[str, float], told: str
):
    with pytest.raises(InputError, match=told):
        plan(question, **traffic)


def test_a_former_test_gives_baseline_and_traffic():
    seen = collected(exposures(800, seed=3))
    found = former_test(seen, "helpful")
    own = [
        float(v) for v, a in zip(seen.helpful, seen.assigned[seen.learner], strict=True) if a == 0
    ]
    assert found.baseline == pytest.approx(np.mean(own))
    assert found.traffic.visits == pytest.approx(len(seen.time) / 800)
    assert found.traffic.told == 1
    assert found.traffic.alike == pytest.approx(0.15**2 / 0.24, abs=0.04)  # as they are drawn
    assert found.traffic.learners_a_day == pytest.approx(800 / 14, rel=0.05)
    assert former_test(seen, "stars").traffic.told == pytest.approx(0.4, abs=0.05)


def test_correlation_within_learners_is_that_of_how_they_are_drawn():
    random = np.random.default_rng(2)
    learner = np.repeat(np.arange(500), 8)
    values = random.normal(0, 2, 500)[learner] + random.normal(0, 3, 4000)
    assert alike_within(values, learner) == pytest.approx(4 / 13, abs=0.04)
    assert alike_within(values[:5], np.arange(5)) == 0
    assert alike_within(np.ones(10), learner[:10]) == 0


def test_a_former_test_of_an_hour_says_nothing_of_days():
    with pytest.raises(DataError, match="less than a day"):
        former_test(collected(exposures(20, days=0.04)), "helpful")


def test_a_sequence_is_planned_with_learners_enough_to_begin():
    """However large the effect is, and however unevenly learners ask."""
    large = AbQuestion("helpful", 0.3, 0.6)
    assert plan(large).sequential.learners == 100
    assert plan(large).fixed.learners == 40
    assert plan(replace(large, ratio=(4, 1))).sequential.learners == 250
    uneven = AbTraffic(1, 5, 5)
    assert uneven.unevenness == pytest.approx(2)
    assert plan_ab(large, uneven).sequential.learners == 200


def test_a_design_effect_is_that_of_the_values_that_are_told():
    random = np.random.default_rng(4)
    visits = random.integers(1, 21, 400_000)
    values = random.binomial(visits, 0.3)
    kish = 1 + 0.25 * ((values**2).mean() / values.mean() - 1)
    traffic = AbTraffic(1, float(visits.mean()), float(visits.std()), 0.3, 0.25)
    assert traffic.design_effect == pytest.approx(kish, rel=0.01)
    even = values.mean() ** 2 / (values**2).mean()
    assert traffic.unevenness == pytest.approx(1 / even, rel=0.01)


def test_where_there_is_no_effect_a_side_is_left_in_less_than_half_of_alpha():
    assert 0 < crossing(0.0, 0.05, 300).power < 0.025


def test_nothing_is_found_before_the_sequence_begins():
    late = crossing(3.4, 0.05, 20, begins=0.5)
    assert late.found[8] == 0 < late.found[9]
    assert late.power == pytest.approx(crossing(3.4, 0.05, 20).power, abs=0.03)
