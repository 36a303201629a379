"""When an arm is stopped, and when it is not."""

from __future__ import annotations

import random

import pytest

from lexitrain.abtest.service.settings import GuardrailLimits
from lexitrain.abtest.service.stopping import Guardrails, Seen, binomial_tail

LIMITS = GuardrailLimits(seconds=1.0, errors=0.1, invalid=0.2)


def feed(
    guardrails: Guardrails, arm, count: int, *, errors=0.0, invalid=0.0, seconds=0.1, seed=0
) -> bool:
    """Requests of as many learners; whether the arm was stopped on the way."""
    draw = random.Random(seed)
    for number in range(count):
        lot = draw.random()
        state = "error" if lot < errors else "invalid" if lot < errors + invalid else "answered"
        guardrails.saw(arm, Seen(f"learner-{number}", state, seconds))
        if guardrails.to_stop(arm):
            return True
    return False


def test_the_tail_is_scipys() -> None:
    scipy = pytest.importorskip("scipy.stats")
    for all_, share in ((50, 0.1), (200, 0.05), (200, 0.2)):
        for some in (0, 1, all_ // 10, all_ // 3, all_):
            expected = scipy.binom.sf(some - 1, all_, share)
            assert binomial_tail(some, all_, share) == pytest.approx(expected, rel=1e-9, abs=1e-300)


def test_an_arm_below_its_limits_is_never_stopped() -> None:
    """Looked at after each of 20,000 requests, at half of each limit."""
    guardrails = Guardrails(LIMITS)
    feed(guardrails, "a", 100)
    assert not feed(guardrails, "b", 20_000, errors=0.05, invalid=0.09, seconds=0.9)


def test_an_arm_exactly_at_its_limits_is_seldom_stopped() -> None:
    """Of 40 arms that are as bad as allowed, each looked at after each of 1,000 requests, two at most."""
    stopped = 0
    for seed in range(40):
        guardrails = Guardrails(LIMITS)
        feed(guardrails, "a", 100)
        stopped += feed(guardrails, "b", 1000, errors=0.1, seed=seed)
    assert stopped <= 2


@pytest.mark.parametrize("harm", [{"errors": 0.4}, {"invalid": 0.6}, {"seconds": 1.5}])
def test_a_harmful_arm_is_stopped_soon(harm: dict) -> None:
    guardrails = Guardrails(LIMITS)
    feed(guardrails, "a", 100)
    assert feed(guardrails, "b", 100, **harm)


def test_nobody_stops_an_arm_alone() -> None:
    guardrails = Guardrails(LIMITS)
    feed(guardrails, "a", 100)
    for _ in range(1000):
        guardrails.saw("b", Seen("one and the same", "invalid", 0.1))
        guardrails.saw("b", Seen("another", "error", 0.1))
        assert guardrails.to_stop("b") is None


def test_where_both_are_bad_neither_is_stopped() -> None:
    guardrails = Guardrails(LIMITS)
    for number in range(300):
        for arm in ("a", "b"):
            guardrails.saw(arm, Seen(f"learner-{number}", "error", 0.1))
            assert guardrails.to_stop(arm) is None


def test_an_arm_is_not_stopped_for_another_that_nobody_has_seen() -> None:
    guardrails = Guardrails(LIMITS)
    assert not feed(guardrails, "a", 200, errors=1.0)
    feed(guardrails, "b", 24)
    assert guardrails.to_stop("a") is None
    feed(guardrails, "b", 2)
    assert guardrails.to_stop("a") is not None


def test_learners_who_leave_say_nothing() -> None:
    guardrails = Guardrails(LIMITS)
    feed(guardrails, "a", 100)
    for number in range(500):
        guardrails.saw("b", Seen(f"learner-{number}", "gone", 60.0))
    assert guardrails.states("b")[0].requests == 0


def test_the_95th_percentile_is_that_of_the_newest() -> None:
    guardrails = Guardrails(LIMITS)
    for number in range(100):
        guardrails.saw("a", Seen(f"learner-{number}", "answered", number / 100))
    p95 = guardrails.states("a")[0]
    assert (p95.value, p95.requests, p95.passed) == (0.94, 100, False)
    feed(guardrails, "a", 200, seconds=5.0)
    assert guardrails.states("a")[0].value == 5.0
