"""Differences and their errors, held against plain references, statsmodels and what must not change them."""

from __future__ import annotations

import numpy as np
import pytest
import statsmodels.api
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import stats

from lexitrain.abtest.statistics.effects import Looking, effect_of
from lexitrain.abtest.statistics.learner_sums import LearnerSums
from tests.abtest.worlds import sums

LOOKING = Looking(0.05, 2500.0)


def drawn(
    seed: int, learners: int = 200, visits: int | None = None
) -> tuple[np.ndarray, list[list[float]]]:
    random = np.random.default_rng(seed)
    arm = np.arange(learners) % 2
    values: list[list[float]] = []
    for each in arm:
        own = random.beta(3, 2)
        count = visits or int(random.integers(1, 9))
        values.append([float(random.random() < own + 0.05 * each) for _ in range(count)])
    return arm, values


def ratio(values: list[list[float]]) -> float:
    return sum(map(sum, values)) / sum(map(len, values))


def test_the_difference_is_that_of_the_totals_and_its_error_that_of_leaving_out_each_learner():
    arm, values = drawn(0)
    found = effect_of(sums(arm, values), LOOKING)
    parts = [[v for a, v in zip(arm, values, strict=True) if a == k] for k in (0, 1)]
    assert found.difference == pytest.approx(ratio(parts[1]) - ratio(parts[0]), rel=1e-12)
    variance = 0.0
    for part in parts:
        without = [ratio(part[:i] + part[i + 1 :]) for i in range(len(part))]
        n = len(part)
        variance += (n - 1) / n * sum((each - ratio(part)) ** 2 for each in without)
    assert found.error == pytest.approx(variance**0.5, rel=1e-9)


@pytest.mark.parametrize(("visits", "tolerance"), [(5, 1e-9), (None, 0.01)])
def test_the_error_is_that_of_a_regression_clustered_by_learner(
    visits: int | None, tolerance: float
):
    """Exactly where all learners ask as often; else the two differ in how they allow for few learners."""
    arm, values = drawn(1, visits=visits)
    found = effect_of(sums(arm, values), LOOKING)
    y = np.concatenate(values)
    learner = np.repeat(np.arange(len(arm)), [len(each) for each in values])
    x = statsmodels.api.add_constant(arm[learner].astype(float))
    fit = statsmodels.api.OLS(y, x).fit()
    half = len(arm) / 2
    robust = fit.get_robustcov_results("cluster", groups=learner, use_correction=False)
    assert found.difference == pytest.approx(robust.params[1], rel=1e-9)
    assert found.error == pytest.approx(robust.bse[1] * (half / (half - 1)) ** 0.5, rel=tolerance)


def test_one_visit_each_is_the_test_of_welch():
    random = np.random.default_rng(3)
    first, other = random.normal(3, 1, 40), random.normal(3.4, 2, 25)
    arm = [0] * 40 + [1] * 25
    found = effect_of(sums(arm, [[float(v)] for v in [*first, *other]]), LOOKING, step=None)
    welch = stats.ttest_ind(other, first, equal_var=False)
    assert found.p == pytest.approx(welch.pvalue, rel=0.01)  # whole degrees of freedom
    interval = welch.confidence_interval()
    assert (found.low, found.high) == pytest.approx((interval.low, interval.high), rel=0.02)


def test_learners_who_return_are_not_taken_as_independent():
    """The same learners, each answer written down four times: nothing new is known."""
    arm, values = drawn(4)
    once = effect_of(sums(arm, values), LOOKING)
    often = effect_of(sums(arm, [each * 4 for each in values]), LOOKING)
    assert often.difference == pytest.approx(once.difference)
    assert often.error == pytest.approx(once.error)
    assert often.p == pytest.approx(once.p)


def test_a_learner_who_is_most_of_an_arm_does_not_make_it_certain():
    random = np.random.default_rng(5)
    arm = np.arange(120) % 2
    values = [[float(random.random() < 0.6)] for _ in arm]
    values[1] = [1.0] * 5000
    found = effect_of(sums(arm, values), LOOKING)
    assert found.p is not None
    assert found.p > 0.05
    assert found.sequence_low is None, "one learner is no large number"
    assert found.arms[1].even_learners < 2


@pytest.mark.parametrize(
    ("arm", "values", "lacking"),
    [
        ([0, 0], [[1.0], [0.0]], "an arm has no values"),
        ([0, 0, 1], [[1.0], [0.0], []], "an arm has no values"),
        ([], [], "an arm has no values"),
        ([0, 0, 1], [[1.0], [0.0], [1.0, 0.0]], "one learner"),
        ([0, 1], [[1.0, 0.0], [1.0]], "one learner"),
    ],
)
def test_what_cannot_be_told_has_a_reason(arm: list[int], values: list[list[float]], lacking: str):
    found = effect_of(sums(arm, values), LOOKING)
    assert lacking in (found.lacking or "")
    assert found.error is found.low is found.sequence_low is found.p is None


def test_answers_that_are_all_alike_do_not_prove_that_there_is_no_difference():
    found = effect_of(sums([0, 1] * 10, [[1.0]] * 20), LOOKING)
    assert found.difference == 0
    assert found.low is not None
    assert found.high is not None
    assert found.low < -0.15
    assert found.high > 0.15
    many = effect_of(sums([0, 1] * 1000, [[1.0]] * 2000), LOOKING)
    assert many.sequence_high is not None
    assert 0.001 < many.sequence_high < 0.01
    waiting = effect_of(sums([0, 1] * 10, [[2.5]] * 20), LOOKING, step=None)
    assert waiting.error is None
    assert "alike" in (waiting.lacking or "")


def test_arms_change_places():
    arm, values = drawn(6)
    found = effect_of(sums(arm, values), LOOKING)
    turned = effect_of(sums(1 - arm, values), LOOKING)
    assert turned.difference == pytest.approx(-(found.difference or 0))
    assert (turned.sequence_low, turned.low) == pytest.approx(
        (-(found.sequence_high or 0), -(found.high or 0))
    )


@settings(max_examples=150, deadline=None)
@given(
    st.lists(
        st.tuples(st.integers(0, 1), st.lists(st.sampled_from([0.0, 1.0]), max_size=6)), max_size=40
    )
)
def test_whatever_comes_there_is_an_interval_around_the_difference_or_a_reason(
    learners: list[tuple[int, list[float]]],
):
    found = effect_of(sums([a for a, _ in learners], [v for _, v in learners]), LOOKING)
    if found.low is None:
        assert found.lacking
        return
    assert found.high is not None
    assert found.difference is not None
    assert found.error is not None
    assert found.low < found.difference < found.high
    assert np.isfinite([found.low, found.high, found.error, found.p]).all()
    assert 0 <= (found.p or 0) <= 1


@settings(max_examples=60, deadline=None)
@given(st.integers(0, 10**6), st.integers(0, 30))
def test_learners_without_a_value_change_nothing(seed: int, without: int):
    arm, values = drawn(seed % 97, learners=120)
    found = effect_of(sums(arm, values), LOOKING)
    more = effect_of(
        sums([*arm, *(seed % 2 for _ in range(without))], [*values, *([] for _ in range(without))]),
        LOOKING,
    )
    assert more.difference == pytest.approx(found.difference)
    assert more.error == pytest.approx(found.error)
    assert more.sequence_low == pytest.approx(found.sequence_low)


class TestValuesFromBefore:
    def world(
        self, seed: int, *, noise: float = 0.1, missing: float = 0.0
    ) -> tuple[LearnerSums, LearnerSums]:
        random = np.random.default_rng(seed)
        n = 600
        arm = (random.random(n) < 0.5).astype(int)
        own = random.normal(0.5, 0.15, n)
        pre = own + random.normal(0, noise, n)
        pre[random.random(n) < missing * 2 * (own < 0.5)] = np.nan  # the weaker ones are new
        values = [
            [
                float(random.random() < np.clip(p + 0.05 * a, 0, 1))
                for _ in range(random.integers(1, 8))
            ]
            for p, a in zip(own, arm, strict=True)
        ]
        return sums(arm, values, pre), sums(arm, values)

    def test_is_the_regression_on_the_value_where_all_ask_once(self):
        random = np.random.default_rng(7)
        arm = np.arange(400) % 2
        pre = random.normal(size=400)
        y = 2 * pre + random.normal(size=400) + 0.3 * arm
        found = effect_of(sums(arm, [[float(v)] for v in y], pre), LOOKING, step=None)
        x = statsmodels.api.add_constant(np.column_stack([arm, pre]))
        fit = statsmodels.api.OLS(y, x).fit(cov_type="HC1")
        assert found.difference == pytest.approx(fit.params[1], rel=0.01)
        assert found.error == pytest.approx(fit.bse[1], rel=0.01)
        assert found.unadjusted is not None
        assert found.error is not None
        assert found.error / found.unadjusted[1] == pytest.approx(1 / 5**0.5, rel=0.1)

    def test_moves_nothing_on_average_and_narrows_though_the_weaker_ones_have_none(self):
        shifts, widths = [], []
        for seed in range(120):
            with_pre, without = self.world(seed, missing=0.4)
            found, plain = effect_of(with_pre, LOOKING), effect_of(without, LOOKING)
            assert found.difference is not None
            assert plain.difference is not None
            assert found.adjusted is not None
            shifts.append(found.difference - plain.difference)
            widths.append(found.adjusted.width)
        assert abs(np.mean(shifts)) < 4 * np.std(shifts) / len(shifts) ** 0.5
        assert np.mean(widths) < 0.95

    @pytest.mark.parametrize("pre", [np.nan, 1.0, 1e-300])
    def test_that_say_nothing_are_not_used(self, pre: float):
        arm, values = drawn(8)
        found = effect_of(sums(arm, values, np.full(len(arm), pre)), LOOKING)
        assert found.adjusted is None
        assert found.error == effect_of(sums(arm, values), LOOKING).error

    def test_of_a_few_learners_are_not_used(self):
        arm, values = drawn(9)
        pre = np.full(len(arm), np.nan)
        pre[:20] = np.arange(20)
        assert effect_of(sums(arm, values, pre), LOOKING).adjusted is None

    def test_in_other_units_give_the_same(self):
        with_pre, _ = self.world(1, missing=0.2)
        found = effect_of(with_pre, LOOKING)
        other = LearnerSums(
            with_pre.arm, with_pre.total, with_pre.count, with_pre.squares, 1e9 - 1e7 * with_pre.pre
        )
        assert effect_of(other, LOOKING).difference == pytest.approx(found.difference, rel=1e-6)
