"""What a tracker is told, and when it begins anew."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path

import pytest

from lexitrain.recipe.schema import Recipe
from lexitrain.runs.folder import Run
from lexitrain.runs.journals import Event, Metrics
from lexitrain.watching.trackers.mlflow_run import MlflowRun
from lexitrain.watching.trackers.places import TrackerPlace, wandb_mode, with_trackers
from lexitrain.watching.trackers.telling import (
    Losses,
    Point,
    Teller,
    Told,
    points_of,
    settings_of,
    told_events,
)
from lexitrain.watching.trackers.tensorboard_files import TensorboardFiles
from lexitrain.watching.trackers.trackio_project import TrackioProject
from lexitrain.watching.trackers.wandb_run import WandbRun
from tests.watching.readers import of_mlflow, of_tensorboard, of_trackio, of_wandb

LINE = Metrics(2, 0.25, 3.5, 1e-3, 1.25, 10.0, 100.0, 50, 80, 0.01, 0.5)


class Kept:
    """A tracker that keeps what it is told."""

    def __init__(self, told: Mapping[int, Losses] | None = None) -> None:
        self.place = "here"
        self.before = dict(told or {})
        self.steps: list[int] = []
        self.again = 0

    def told(self) -> dict[int, Losses]:
        return self.before

    def start_again(self) -> None:
        self.again += 1
        self.steps = []

    def settings(self, values: Mapping[str, str], recipe: str) -> None: ...

    def points(self, points: Sequence[Point]) -> None:
        self.steps += [each.step for each in points]

    def events(self, events: Sequence[Told]) -> None: ...

    def scores(self, step: int, values: Mapping[str, float]) -> None: ...

    def flush(self) -> None: ...

    def finish(self, state: str) -> None: ...


@pytest.fixture
def run(tmp_path: Path) -> Run:
    run = Run(tmp_path / "run")
    run.write_recipe(Recipe())
    for step in (2, 4, 6):
        run.append_metrics(replace(LINE, step=step, loss=step / 10))
    return run


def test_what_a_tracker_has_is_not_told_again(run: Run) -> None:
    tracker = Kept({2: (0.2, None), 4: (0.4, None)})
    Teller(run, tracker).catch_up()
    assert (tracker.steps, tracker.again) == ([6], 0)


def test_steps_that_are_done_again_alike_are_not_told_twice(run: Run) -> None:
    tracker = Kept()
    teller = Teller(run, tracker)
    teller.catch_up()
    run.cut_metrics(2)
    teller.catch_up()
    run.append_metrics(replace(LINE, step=4, loss=0.4, samples_per_second=1.0))
    teller.catch_up()
    run.append_metrics(replace(LINE, step=6, loss=0.6))
    run.append_metrics(replace(LINE, step=8, loss=0.8))
    teller.catch_up(last=True)
    assert (tracker.steps, tracker.again) == ([2, 4, 6, 8], 0)


@pytest.mark.parametrize("wrong", [(4, 0.5), (5, 0.4)])
def test_where_they_are_done_otherwise_all_is_told_anew(run: Run, wrong: tuple[int, float]) -> None:
    tracker = Kept()
    teller = Teller(run, tracker)
    teller.catch_up()
    run.cut_metrics(2)
    run.append_metrics(replace(LINE, step=wrong[0], loss=wrong[1]))
    teller.catch_up()
    assert (tracker.steps, tracker.again) == ([2, wrong[0]], 1)


def test_a_step_that_never_came_back_is_gone_at_the_end(run: Run) -> None:
    tracker = Kept({8: (0.8, None)})
    teller = Teller(run, tracker)
    teller.catch_up()
    assert tracker.again == 0
    teller.catch_up(last=True)
    assert (tracker.steps, tracker.again) == ([2, 4, 6], 1)


def test_numbers_that_are_none_are_left_out() -> None:
    (point,) = points_of([replace(LINE, grad_norm=math.nan, validation_losses={"grammar": 1.5})])
    assert "grad_norm" not in point.values
    assert point.values["validation_losses/grammar"] == 1.5
    assert "step" not in point.values


def test_no_text_of_the_data_and_no_folder_is_told() -> None:
    secret = "a learner's sentence"
    (told,) = told_events(
        [
            Event("warning", 0, "2026-01-01T00:00:00+00:00", {"what": secret, "fix": secret}),
            Event("started", 0, "2026-01-01T00:00:00+00:00", {"total_steps": 9, "data": secret}),
            Event("mirror", 3, "never", {"problem": secret}),
        ]
    )
    assert (told.name, told.text) == ("started", "total_steps 9")


def test_every_field_of_the_recipe_is_told() -> None:
    recipe = Recipe.model_validate({"data": {"task_weights": {"grammar": 2.0}}})
    told = settings_of(recipe)
    assert told["data.task_weights.grammar"] == "2.0"
    assert told["lora.rank"] == "16"
    assert told["data.tasks"] == "[]"


def test_the_trackers_of_a_run_are_kept_until_others_are_named(run: Run) -> None:
    run.write_recipe(Recipe(trackers=("tensorboard",)))
    assert with_trackers(Recipe(), run, None).trackers == ("tensorboard",)
    assert with_trackers(Recipe(), None, None).trackers == ()
    assert with_trackers(Recipe(), run, ["none"]).trackers == ("none",)
    (named,) = with_trackers(Recipe(), run, ["mlflow:store"]).trackers
    assert Path(TrackerPlace.of(named).place).is_absolute()
    assert with_trackers(Recipe(), run, ["wandb:my project"]).trackers == ("wandb:my project",)


def test_wandb_is_online_only_where_the_user_has_logged_in(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("HOME", str(tmp_path))
    assert wandb_mode({}) == "offline"
    assert wandb_mode({"WANDB_API_KEY": "x"}) == "online"
    assert wandb_mode({"WANDB_API_KEY": "x", "WANDB_MODE": "offline"}) == "offline"
    (tmp_path / ".netrc").write_text("machine api.wandb.ai login user password x\n")
    assert wandb_mode({}) == "online"
    assert wandb_mode({"WANDB_BASE_URL": "https://wandb.example.org"}) == "offline"


def test_tensorboard_forgets_a_torn_file_and_keeps_runs_of_one_name_apart(
    run: Run, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder = tmp_path / "all"
    first = TensorboardFiles(run, "one", str(folder))
    Teller(run, first).catch_up()
    first.finish("interrupted")
    (file,) = (folder / "run").iterdir()
    file.write_bytes(file.read_bytes()[:-3])
    # The clock was set back by a day.
    import time

    now = time.time()
    monkeypatch.setattr(time, "time", lambda: now - 86_400)
    second = TensorboardFiles(run, "one", str(folder))
    assert sorted(folder.joinpath("run").iterdir())[0] == file
    Teller(run, second).catch_up(last=True)
    assert sorted(of_tensorboard(folder / "run")) == [2, 4, 6]
    other = TensorboardFiles(run, "two", str(folder))
    assert other.place == str(folder / "run-two")
    second.finish("finished")
    other.finish("finished")


def another(run: Run) -> None:
    """The run is set back and comes out otherwise."""
    run.cut_metrics(4)
    run.append_metrics(replace(LINE, step=6, loss=0.5, validation_loss=2.0))


def tell_twice(run: Run, tracker: TensorboardFiles | TrackioProject | WandbRun | MlflowRun) -> None:
    teller = Teller(run, tracker)
    teller.catch_up()
    another(run)
    run.write_evaluation("test", {"tasks": {"grammar": {"scores": {"f0.5": {"value": 0.75}}}}})
    teller.catch_up()
    teller.catch_up(last=True)
    tracker.finish("finished")


def test_tensorboard_takes_back_what_came_out_otherwise(run: Run) -> None:
    tell_twice(run, TensorboardFiles(run, "key", ""))
    told = of_tensorboard(run.path / "tensorboard")
    assert [told[step]["loss"] for step in (2, 4, 6)] == pytest.approx([0.2, 0.4, 0.5])
    assert told[6]["evaluation/test/grammar/f0.5"] == 0.75


@pytest.mark.slow
def test_trackio_takes_back_what_came_out_otherwise(
    run: Run, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    utils, storage = (
        pytest.importorskip("trackio.utils"),
        pytest.importorskip("trackio.sqlite_storage"),
    )
    monkeypatch.setattr(utils, "TRACKIO_DIR", tmp_path / "trackio")
    monkeypatch.setattr(storage, "TRACKIO_DIR", tmp_path / "trackio")
    tell_twice(run, TrackioProject(run, "key", "p"))
    told, _ = of_trackio("p")
    assert [told[step]["loss"] for step in (2, 4, 6)] == [0.2, 0.4, 0.5]
    assert told[6]["evaluation/test/grammar/f0.5"] == 0.75


@pytest.mark.slow
def test_wandb_takes_back_what_came_out_otherwise(
    run: Run, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.setenv("WANDB_MODE", "offline")
    tell_twice(run, WandbRun(run, "key", ""))
    told, _, summary = of_wandb(run.path / "wandb")
    assert [told[step]["loss"] for step in (2, 4, 6)] == [0.2, 0.4, 0.5]
    assert summary["evaluation/test/grammar/f0.5"] == 0.75


@pytest.mark.slow
@pytest.mark.filterwarnings("ignore::ResourceWarning", "ignore::DeprecationWarning")
def test_mlflow_takes_back_what_came_out_otherwise(
    run: Run, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("MLFLOW_TRACKING_URI", raising=False)
    monkeypatch.setenv("MLFLOW_DISABLE_TELEMETRY", "true")
    weights = {f"task{number}": 1.0 for number in range(150)} | {"von Anfang § 1": 2.0}
    text = "long " * 2000
    recipe = Recipe.model_validate({"data": {"task_weights": weights}, "description": text})
    run.write_recipe(recipe)
    run.append_metrics(replace(LINE, step=8, validation_losses={"von Anfang § 1": 1.5}))
    tell_twice(run, MlflowRun(run, "key", ""))
    run.write_recipe(recipe.model_copy(update={"log_every": 3}))
    again = MlflowRun(run, "key", "")
    Teller(run, again).catch_up()
    again.finish("stopped")
    told, of = of_mlflow(run.path / "mlflow")
    assert [told[step]["loss"] for step in (2, 4, 6)] == [0.2, 0.4, 0.5]
    assert told[6]["evaluation/test/grammar/f0.5"] == 0.75
    assert len(of.data.params) > 150
    assert len(of.data.params["description"]) == 500
    assert of.data.params["log_every"] == "10"
    assert of.data.tags["changed.log_every"] == "3"
    assert of.info.status == "KILLED"
