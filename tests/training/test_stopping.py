"""Time limits are met, whatever the clocks do."""

from __future__ import annotations

from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from lexitrain.recipe.schema import Recipe
from lexitrain.runs.folder import Run
from lexitrain.training import stopping as limits_module
from lexitrain.training import train
from lexitrain.training.metrics import Speed
from lexitrain.training.stopping import Limits
from tests.training.test_train import assert_equal_runs


class Clocks:
    """The two clocks of the machine, to be moved by hand."""

    def __init__(self, patch: pytest.MonkeyPatch) -> None:
        self.steady, self.wall = 1000.0, datetime(2026, 5, 1, 12, tzinfo=UTC).timestamp()
        patch.setattr(limits_module, "monotonic", lambda: self.steady)
        patch.setattr(limits_module, "time", lambda: self.wall)

    def go(self, seconds: float) -> None:
        self.steady += seconds
        self.wall += seconds


@pytest.fixture
def clocks(monkeypatch: pytest.MonkeyPatch) -> Clocks:
    return Clocks(monkeypatch)


def made(clocks: Clocks, seconds: float | None = None, until: float | None = None) -> Limits:
    moment = None if until is None else datetime.fromtimestamp(clocks.wall + until, UTC)
    return Limits(seconds=seconds, moment=moment, _start=clocks.steady, _start_time=clocks.wall)


def test_without_limits_nothing_stops(clocks: Clocks) -> None:
    limits = made(clocks)
    assert limits.seconds_left() is None
    assert not limits.step_reached(10**9)
    assert not limits.time_is_up(Speed(), validation_due=True)


def test_it_leaves_time_for_what_may_come(clocks: Clocks) -> None:
    speed = Speed(validations=[20.0], checkpoints=[4.0, 10.0])
    speed.steps.extend([(2.0, 100), (5.0, 100)])
    limits = made(clocks, seconds=100.0)
    clocks.go(52.0)  # 48 left; step, validation and checkpoint need 35, times 1.5 is 52.5
    assert limits.time_is_up(speed, validation_due=True)
    assert not limits.time_is_up(speed, validation_due=False)
    clocks.go(26.0)  # 22 left; step and checkpoint need 15, times 1.5 is 22.5
    assert limits.time_is_up(speed, validation_due=False)


def test_it_leaves_time_for_the_write_at_hand_and_for_the_mirror(clocks: Clocks) -> None:
    speed = Speed(writes=[4.0])
    limits = made(clocks, seconds=100.0)
    clocks.go(80.0)
    assert not limits.time_is_up(speed, validation_due=False, writing=90.0)  # no step yet
    speed.steps.append((1.0, 100))
    # 20 left: the step, what is left of the write at hand, the next write.
    assert not limits.time_is_up(speed, validation_due=False, writing=3.0)
    assert speed.slowest_cycle(validation=False, writing=3.0) == pytest.approx(1 + 1 + 4)
    # One that takes longer than any before may take as long again, and so may the next.
    assert speed.slowest_cycle(validation=False, writing=5.0) == pytest.approx(1 + 5 + 10)
    assert limits.time_is_up(speed, validation_due=False, writing=5.0)
    assert not limits.time_is_up(speed, validation_due=False, mirror=8.0)
    assert limits.time_is_up(speed, validation_due=False, mirror=9.0)
    clocks.go(-50.0)  # 70 left: a mirror that is slower than that gets a quarter of the whole time
    assert not limits.time_is_up(speed, validation_due=False, mirror=1000.0)
    clocks.go(38.0)  # 32 left, 7.5 and 25 are needed
    assert limits.time_is_up(speed, validation_due=False, mirror=1000.0)


def test_the_mirror_is_waited_for_as_long_as_there_is_time(clocks: Clocks) -> None:
    assert made(clocks).mirror_patience() is None
    limits = made(clocks, seconds=100.0)
    clocks.go(70.0)
    assert limits.mirror_patience() == pytest.approx(30.0)
    clocks.go(40.0)
    assert limits.mirror_patience() == 1.0


@pytest.mark.parametrize("jump", [-7200.0, 7200.0])
def test_a_clock_that_is_set_does_not_matter_to_a_duration(clocks: Clocks, jump: float) -> None:
    limits = made(clocks, seconds=100.0)
    clocks.wall += jump
    clocks.go(99.0)
    assert limits.seconds_left() == pytest.approx(1.0)


def test_a_moment_is_met_by_whichever_clock_reaches_it_first(clocks: Clocks) -> None:
    for jump, left in ((0.0, 40.0), (-3600.0, 40.0), (30.0, 10.0)):
        limits = made(clocks, until=100.0)
        clocks.go(60.0)
        clocks.wall += jump
        assert limits.seconds_left() == pytest.approx(left)


def test_a_run_stops_in_time_and_goes_on_alike(
    recipe_of: Callable[..., Recipe], data_dir: Path, tmp_path: Path
) -> None:
    run = tmp_path / "run"
    past = datetime.now(UTC) - timedelta(seconds=1)
    for limit in ({"stop_after": 0.0}, {"stop_at": past}):
        result = train(recipe_of(), data_dir, run, **limit)
        assert (result.state, result.reason) == ("stopped", "time_limit")
        assert Run(run).events()[-1].details["reason"] == "time_limit"
    # 0.25 s are over within the 32 steps on most machines; on one that is faster the run simply finishes.
    for _ in range(100):
        result = train(recipe_of(), data_dir, run, stop_after=3.0)
        if result.state == "finished":
            break
        assert Run(run).checkpoint_steps()[-1] == result.step
    train(recipe_of(), data_dir, tmp_path / "straight")
    assert_equal_runs(tmp_path / "straight", run)
