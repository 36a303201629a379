"""How a run stands, by its files: also by those that a crash, another version or another clock has left."""

from __future__ import annotations

import math
from dataclasses import replace
from pathlib import Path

import pytest

from lexitrain.errors import RunError
from lexitrain.recipe.schema import Recipe
from lexitrain.runs.folder import Run
from lexitrain.runs.journals import Event, Metrics, append_event
from lexitrain.training import Progress
from lexitrain.watching import LiveRun, live_run
from lexitrain.watching.time_left import TimeLeft, planned_left, time_left, with_planned_band

LINE = Metrics(10, 0.5, 2.0, 1e-3, 1.0, 12.0, 200.0, 500, 1000, 0.5, 0.75)
"""Ten steps in five seconds, of which half a second was spent waiting."""

PLAN = {
    "hours": {"low": 0.1, "expected": 0.2, "high": 0.4},
    "memory_gb": {"peak": 0.8, "limit": 12.0},
}


@pytest.fixture
def run(tmp_path: Path) -> Run:
    run = Run(tmp_path / "run")
    run.write_recipe(Recipe.model_validate({"checkpoints": {"every": 20}}))
    run.append_event("planned", 0, **PLAN)
    run.append_event("started", 0, total_steps=40, validation_loss=3.0)
    return run


def test_what_was_measured_is_shown_with_what_was_planned(run: Run) -> None:
    for step in (10, 20):
        run.append_metrics(replace(LINE, step=step))
    with_validation = replace(LINE, step=30, validation_loss=1.5, validation_seconds=4.0)
    run.append_metrics(with_validation)
    run.append_event("checkpoint", 20, loop_seconds=1.0, mirror_seconds=0.0)
    live = live_run(run.path)
    assert (live.step, live.total_steps, live.loss, live.validation_loss) == (30, 40, 2.0, 1.5)
    assert (live.memory_gb, live.planned_gb, live.limit_gb) == (0.75, 0.8, 12.0)
    assert live.data_wait == pytest.approx(0.1)
    assert live.checkpoint_step == 20
    assert live.mirror == "follows"
    assert live.state == "interrupted"
    run.append_event("tracker", 30, tracker="wandb", problem="gone")
    with run.lock():
        live = live_run(run.path)
    assert (live.state, live.here) == ("running", True)
    # Ten steps of half a second, one validation and one checkpoint.
    assert live.left is not None
    assert live.left.expected == pytest.approx(10.0)
    assert live.left.low < 10.0 < live.left.high
    assert live.trackers == {"wandb": "gone"}


def test_before_anything_is_measured_the_plan_says_what_is_left() -> None:
    left = planned_left(PLAN["hours"], 20, 40)
    assert left == TimeLeft(180.0, 360.0, 720.0)
    assert time_left([], 20, 0.0, left) == left
    assert time_left([], 20, 0.0) is None
    assert time_left([1.0], 20, 0.0, left) == TimeLeft(10.0, 20.0, 40.0)
    assert planned_left({"low": 0.0, "expected": 0.0, "high": 0.001}, 1, 2) is None
    for broken in (None, {}, {"low": "x"}, [1]):
        assert planned_left(broken, 1, 2) is None


def test_too_few_steps_get_the_plans_band_around_what_was_measured() -> None:
    """From the files and from the observer alike."""
    planned = planned_left(PLAN["hours"], 20, 40)
    assert with_planned_band(20.0, planned) == time_left([1.0], 20, 0.0, planned)
    assert with_planned_band(20.0, None) == time_left([1.0], 20, 0.0)
    step = Progress(20, 40, 0.5, 1.0, None, 100.0, seconds_left=20.0)
    live = LiveRun(hours=PLAN["hours"]).after_step(step)
    assert live.left == TimeLeft(10.0, 20.0, 40.0)
    assert LiveRun().after_step(step).left == TimeLeft(20.0, 20.0, 20.0)
    unknown = replace(step, seconds_left=None)
    assert LiveRun(hours=PLAN["hours"]).after_step(unknown).left == planned


def test_a_band_holds_what_steps_alike_would_take() -> None:
    even = time_left([2.0] * 50, 100, 10.0)
    assert even is not None
    assert (even.low, even.expected, even.high) == pytest.approx((205.8, 210.0, 214.2))
    uneven = time_left([1.0, 3.0] * 25, 100, 0.0)
    assert uneven is not None
    assert uneven.expected == 200.0
    assert uneven.high - uneven.low == pytest.approx(4 * 100 * 1.0102 / math.sqrt(50), rel=1e-3)


def test_a_torn_last_line_is_left_out(run: Run) -> None:
    run.append_metrics(LINE)
    with run.metrics_file.open("ab") as file:
        file.write(b'{"step": 20, "loss": 1')
    assert live_run(run.path).step == 10
    with run.events_file.open("ab") as file:
        file.write(b'{"event": "finis')
    assert live_run(run.path).state == "interrupted"


def test_a_broken_line_in_between_is_refused(run: Run) -> None:
    run.metrics_file.write_text('{"step": 1\n{"step": 2}\n')
    with pytest.raises(RunError, match=r"metrics\.jsonl:1"):
        live_run(run.path)


def test_no_run_is_refused(tmp_path: Path) -> None:
    with pytest.raises(RunError, match="no such folder"):
        live_run(tmp_path / "none")
    with pytest.raises(RunError, match="not the folder of a run"):
        live_run(tmp_path)


def test_numbers_that_are_none_are_not_shown(run: Run) -> None:
    nothing = replace(LINE, loss=math.nan, tokens_per_second=math.nan, validation_loss=None)
    run.append_metrics(nothing)
    live = live_run(run.path)
    assert (live.loss, live.tokens_per_second, live.data_wait, live.left) == (None,) * 4


def test_a_run_without_plan_and_one_beyond_its_end_are_shown(tmp_path: Path) -> None:
    run = Run(tmp_path / "run")
    run.write_recipe(Recipe())
    live = live_run(run.path)
    assert (live.step, live.total_steps, live.left) == (0, None, None)
    run.append_event("started", 0, total_steps=5)
    run.append_metrics(LINE)
    with run.lock():
        live = live_run(run.path)
    assert (live.step, live.total_steps) == (10, 5)
    assert live.left is not None
    assert live.left.expected == 0.0


def test_a_clock_set_back_and_strange_details_do_no_harm(run: Run) -> None:
    append_event(run.events_file, Event("checkpoint", 10, "2099-01-01T00:00:00+00:00", {}))
    append_event(run.events_file, Event("checkpoint", 20, "yesterday", {"loop_seconds": "x"}))
    append_event(run.events_file, Event("planned", 0, "", {"memory_gb": [], "hours": {"low": "x"}}))
    append_event(run.events_file, Event("started", 0, "", {"total_steps": "many"}))
    run.append_metrics(LINE)
    live = live_run(run.path)
    assert live.checkpoint_step == 20
    assert live.checkpoint_time is None
    assert live.total_steps == 40


def test_a_run_that_goes_on_after_its_end_runs_again() -> None:
    live = LiveRun().after_event(Event("finished", 40, "", {}))
    assert live.ended
    assert not live.after_event(Event("resumed", 40, "", {"total_steps": 80})).ended
