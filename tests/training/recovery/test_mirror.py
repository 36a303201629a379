"""The mirror: a run goes on from it alone, it comes back after it was gone, and it is never another run's."""

from __future__ import annotations

import os
import shutil
import threading
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from lexitrain.diagnosis.preflight.place_checks import mirror_check
from lexitrain.errors import InputError
from lexitrain.recipe.schema import Recipe
from lexitrain.recipe.yaml_file import load_recipe
from lexitrain.runs import Event, list_runs
from lexitrain.runs.checkpoints import Checkpoints, read_checkpoint
from lexitrain.runs.folder import Run
from lexitrain.storage.lock import Lock
from lexitrain.training import Silent, run_recipe, train
from lexitrain.training.event_log import Outcome
from lexitrain.training.recovery import mirror as mirror_module
from lexitrain.training.recovery.mirror import Mirror
from lexitrain.watching import TrackerProcesses
from tests.training.test_train import assert_equal_runs, events

RecipeOf = Callable[..., Recipe]
FILES = {"adapter.bin": bytes(range(200)), "state.json": b"{}"}


class Local:
    """A run without training: what is written by hand is followed by a mirror."""

    def __init__(self, folder: Path, retry_seconds: float = 0.02) -> None:
        self.run = Run(folder / "local" / "run")
        self.run.write_recipe(load_recipe("demo"))
        self.run.append_event("started", 0, total_steps=9)
        self.checkpoints = Checkpoints(self.run.checkpoints, keep=2)
        self.root = folder / "drive"
        self.mirror = Mirror(self.run, self.root, keep=1, retry_seconds=retry_seconds)

    def save(self, step: int) -> None:
        self.checkpoints.save_best(step, {"adapter.bin": b"best"}, {"validation_loss": 1 / step})
        self.checkpoints.save(step, FILES)
        self.mirror.wake()

    def names(self) -> list[str]:
        folder = self.mirror.run.checkpoints
        return sorted(each.name for each in folder.iterdir()) if folder.exists() else []


@pytest.fixture
def local(tmp_path: Path) -> Any:
    local = Local(tmp_path)
    local.mirror.start()
    yield local
    local.mirror.stop()


def wait_for(what: Callable[[], bool]) -> None:
    end = time.monotonic() + 30
    while not what():
        assert time.monotonic() < end
        time.sleep(0.005)


def problems(outcomes: list[Outcome]) -> list[str | None]:
    return [each.details["problem"] for each in outcomes]


def test_the_mirror_is_a_run_folder_with_the_newest_of_everything(local: Local) -> None:
    for step in (3, 6, 9):
        local.save(step)
    local.mirror.flush()
    assert local.names() == ["best-000009", "step-000009"]
    there = local.mirror.run
    assert there.read_recipe() == local.run.read_recipe()
    assert there.events() == local.run.events()
    assert read_checkpoint(there.checkpoint(9)).files == FILES
    local.run.append_event("finished", 9)
    local.mirror.flush()
    assert [each.event for each in there.events()] == ["started", "finished"]
    assert problems(local.mirror.outcomes()) == []


def test_a_slow_mirror_keeps_nobody_waiting_and_the_newest_wins(
    local: Local, monkeypatch: pytest.MonkeyPatch
) -> None:
    blocked, reached = threading.Event(), threading.Event()
    save, saved = Checkpoints.save, list[int]()

    def slow(checkpoints: Checkpoints, step: int, files: Any) -> Path:
        if checkpoints.folder == local.mirror.run.checkpoints:
            reached.set()
            blocked.wait()
            saved.append(step)
        return save(checkpoints, step, files)

    monkeypatch.setattr(Checkpoints, "save", slow)
    local.save(1)
    reached.wait()
    for step in range(2, 9):
        local.save(step)  # would never return if it waited for the mirror
    assert local.run.checkpoint_steps() == [7, 8]
    blocked.set()
    local.mirror.flush()
    assert saved == [1, 8]


def test_a_mirror_that_vanishes_comes_back_and_catches_up(local: Local) -> None:
    local.save(1)
    local.mirror.flush()
    local.root.rename(local.root.with_name("unplugged"))
    local.save(2)
    wait_for(lambda: local.mirror._problem is not None)
    assert not local.root.exists()  # nothing is written where the drive was
    local.save(3)
    local.mirror.flush()
    assert problems(local.mirror.outcomes()) == [
        f"{local.mirror.run.path} cannot be written: {local.root} is gone"
    ]
    local.root.with_name("unplugged").rename(local.root)
    wait_for(lambda: local.names() == ["best-000003", "step-000003"])
    wait_for(lambda: local.mirror._problem is None)
    assert problems(local.mirror.outcomes()) == [None]


def test_a_copy_that_does_not_read_back_is_told(
    local: Local, monkeypatch: pytest.MonkeyPatch
) -> None:
    save = Checkpoints.save

    def torn(checkpoints: Checkpoints, step: int, files: Any) -> Path:
        path = save(checkpoints, step, files)
        if checkpoints.folder == local.mirror.run.checkpoints:
            os.truncate(path / "adapter.bin", 5)
            tries.append(path)
        return path

    tries: list[Path] = []
    with monkeypatch.context() as patch:
        patch.setattr(Checkpoints, "save", torn)
        local.save(1)
        wait_for(lambda: len(tries) > 2)  # it is not taken for a copy, and is told once
        told = local.mirror.outcomes()
    assert len(told) == 1
    assert "adapter.bin has 5 bytes" in told[0].details["problem"]
    wait_for(lambda: local.mirror._problem is None)
    assert problems(local.mirror.outcomes()) == [None]
    assert read_checkpoint(local.mirror.run.checkpoints / "step-000001").files == FILES


def test_another_run_or_another_machine_in_the_mirror_is_left_alone(tmp_path: Path) -> None:
    local = Local(tmp_path)
    other = Run(local.mirror.run.path)
    other.append_event("started", 0, total_steps=7)
    local.mirror.start()
    local.save(1)
    local.mirror.flush()
    assert "another run of this name" in local.mirror.outcomes()[0].details["problem"]
    local.mirror.stop()
    other.events_file.unlink()
    with Lock(other.path):
        local.mirror = Mirror(local.run, local.root, keep=1)
        local.mirror.start()
        local.mirror.flush()
        assert "Another process" in local.mirror.outcomes()[0].details["problem"]
        local.mirror.stop()
    assert local.names() == []


class LosingTheDisk(Silent):
    """Deletes the run's folder at a step, as a machine that goes takes its disk with it; then ends the training."""

    class MachineGone(BaseException):
        """Nothing catches this."""

    def __init__(self, run: Path, step: int) -> None:
        self._run, self._step = run, step

    def progress(self, progress: Any) -> None:
        if progress.step == self._step:
            shutil.rmtree(self._run)
            raise self.MachineGone


@pytest.mark.parametrize("lost_at", [13, 28])
def test_a_run_goes_on_from_the_mirror_alone(
    recipe_of: RecipeOf, data_dir: Path, tmp_path: Path, lost_at: int
) -> None:
    run, drive = tmp_path / "here" / "run", tmp_path / "drive"
    train(recipe_of(), data_dir, tmp_path / "undisturbed")
    train(recipe_of(), data_dir, run, mirror=drive, stop_after_step=lost_at - 1)
    with pytest.raises(LosingTheDisk.MachineGone):
        train(recipe_of(), data_dir, run, mirror=drive, observer=LosingTheDisk(run, lost_at))
    assert not run.exists()

    result = train(recipe_of(), data_dir, run, mirror=drive)

    assert result.state == "finished"
    assert "rescued" in events(run)
    assert_equal_runs(run, tmp_path / "undisturbed")
    for mirrored in (drive / "run").rglob("*"):
        if mirrored.is_file() and mirrored.name != ".lock":
            assert mirrored.read_bytes() == (run / mirrored.relative_to(drive / "run")).read_bytes()

    shutil.rmtree(run)  # a finished run comes back too, with nothing left to do
    again = train(recipe_of(), data_dir, run, mirror=drive)
    assert again.reason == "already_finished"
    assert_equal_runs(run, tmp_path / "undisturbed")


def test_a_mirror_that_is_ahead_of_a_damaged_run_is_used(
    recipe_of: RecipeOf, data_dir: Path, tmp_path: Path
) -> None:
    run, drive = tmp_path / "run", tmp_path / "drive"
    short = recipe_of(["schedule.epochs=2"])
    train(short, data_dir, tmp_path / "undisturbed")
    train(short, data_dir, run, mirror=drive, stop_after_step=12)
    for manifest in (run / "checkpoints").glob("*/MANIFEST.json"):
        manifest.write_bytes(manifest.read_bytes()[:-9])
    assert train(short, data_dir, run).state == "finished"  # the run remembers its mirror
    assert "rescued" in events(run)
    assert_equal_runs(run, tmp_path / "undisturbed")


def test_a_name_that_is_taken_in_the_mirror_is_refused_and_fresh_moves_it_aside(
    recipe_of: RecipeOf, data_dir: Path, tmp_path: Path
) -> None:
    drive = tmp_path / "drive"
    short = recipe_of(["schedule.epochs=1"])
    train(short, data_dir, tmp_path / "one" / "run", mirror=drive, stop_after_step=3)
    train(short, data_dir, tmp_path / "two" / "run", stop_after_step=3)
    with pytest.raises(InputError, match="another run of this name"):
        train(short, data_dir, tmp_path / "two" / "run", mirror=drive)
    fresh = tmp_path / "three" / "run"
    train(short, data_dir, fresh, mirror=drive, stop_after_step=2, fresh=True)
    assert Run(fresh).checkpoint_steps() == [2]
    assert Run(drive / "run.old-1").checkpoint_steps() == [3]


@pytest.mark.parametrize("fresh", [False, True])
def test_a_place_that_is_not_mounted_is_refused_and_nothing_is_written_there(
    fresh: bool, recipe_of: RecipeOf, data_dir: Path, tmp_path: Path
) -> None:
    """As where a command is given on a new machine before the drive is mounted."""
    recipe, run = recipe_of(["schedule.epochs=1"]), tmp_path / "run"
    mounted = tmp_path / "content" / "drive"
    mounted.mkdir(parents=True)
    train(recipe, data_dir, run, mirror=mounted / "lexitrain", stop_after_step=2)
    shutil.rmtree(mounted.parent)
    with pytest.raises(InputError, match=r"(?s)there is no .*drive.*--mirror none") as caught:
        train(recipe, data_dir, run, mirror=mounted / "lexitrain", fresh=fresh)
    assert caught.value.exit_code == 2
    with pytest.raises(InputError, match="there is no"):
        train(recipe, data_dir, run)  # the run remembers its mirror
    assert list_runs(run)[0].next == f"lexitrain train --run {run} --mirror DIR"
    assert not mounted.parent.exists()
    assert Run(run).checkpoint_steps() == [2]
    assert not (tmp_path / "run.old-1").exists()
    assert train(recipe, data_dir, run, mirror="none").state == "finished"


def test_each_task_has_its_own_mirror(recipe_of: RecipeOf, data_dir: Path, tmp_path: Path) -> None:
    recipe = recipe_of(["data.adapters=per_task", "schedule.epochs=1"])
    train(recipe, data_dir, tmp_path / "run", mirror=tmp_path / "drive")
    shutil.rmtree(tmp_path / "run")
    result = train(recipe, data_dir, tmp_path / "run", mirror=tmp_path / "drive")
    assert {each.reason for each in result.parts.values()} == {"already_finished"}


def moved_on(recipe: Recipe, data: Path, drive: Path, folder: Path, **limits: Any) -> None:
    """Another machine goes on with the run from the mirror alone."""
    train(recipe, data, folder / "run", mirror=drive, **limits)


@pytest.mark.parametrize("stop", [7, 3])
def test_a_folder_that_is_older_than_its_mirror_takes_the_mirrors_recipe_too(
    stop: int, recipe_of: RecipeOf, data_dir: Path, tmp_path: Path
) -> None:
    """With stop 3 both are at the same step, and the other machine has accepted a change before it was lost."""
    drive, here, there = tmp_path / "drive", tmp_path / "here" / "run", tmp_path / "there"
    old = recipe_of(["schedule.epochs=2"])
    new = recipe_of(["schedule.epochs=2", "optimizer.learning_rate=0.001"])
    train(old, data_dir, here, mirror=drive, stop_after_step=3)
    moved_on(new, data_dir, drive, there, accept_changes=True, stop_after_step=stop)
    shutil.copytree(there / "run", tmp_path / "straight" / "run")

    with pytest.raises(InputError, match="another recipe"):
        train(old, data_dir, here, mirror=drive)
    assert Run(here).read_recipe().optimizer.learning_rate == 0.001
    assert Run(here).checkpoint_steps()[-1] == stop
    own = run_recipe(here)
    assert own is not None
    assert own.optimizer.learning_rate == 0.001
    assert train(own, None, here).state == "finished"
    train(new, data_dir, tmp_path / "straight" / "run", mirror="none")
    assert_equal_runs(here, tmp_path / "straight" / "run")


def test_the_accepted_recipe_of_the_mirror_is_not_refused_in_an_older_folder(
    recipe_of: RecipeOf, data_dir: Path, tmp_path: Path
) -> None:
    drive, here = tmp_path / "drive", tmp_path / "here" / "run"
    old = recipe_of(["schedule.epochs=1"])
    new = recipe_of(["schedule.epochs=1", "optimizer.learning_rate=0.001"])
    train(old, data_dir, here, mirror=drive, stop_after_step=2)
    moved_on(new, data_dir, drive, tmp_path / "there", accept_changes=True, stop_after_step=5)
    assert train(new, data_dir, here, mirror=drive).state == "finished"
    accepted = [each for each in Run(here).events() if each.event == "accepted"]
    assert len(accepted) == 1


def test_the_mirror_itself_can_be_trained_and_mirrors_nowhere(
    recipe_of: RecipeOf, data_dir: Path, tmp_path: Path
) -> None:
    drive, recipe = tmp_path / "drive", recipe_of(["schedule.epochs=1"])
    train(recipe, data_dir, tmp_path / "run", mirror=drive, stop_after_step=2)
    assert train(recipe, data_dir, drive / "run").state == "finished"
    assert "mirror" not in events(drive / "run")


class SlowDrive:
    """Copies to the mirror take a while; those of the run's own folder do not."""

    def __init__(self, drive: Path, seconds: float, patch: pytest.MonkeyPatch) -> None:
        save = Checkpoints.save

        def slow(checkpoints: Checkpoints, step: int, files: Any) -> Path:
            if checkpoints.folder.is_relative_to(drive):
                time.sleep(seconds)
            return save(checkpoints, step, files)

        patch.setattr(Checkpoints, "save", slow)


@pytest.mark.slow
def test_a_time_limit_counts_the_mirror_and_says_when_it_is_behind(
    recipe_of: RecipeOf, data_dir: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    drive, run = tmp_path / "drive", tmp_path / "run"
    recipe = recipe_of(["schedule.epochs=2000", "checkpoints.every=20", "validation.every=100000"])
    SlowDrive(drive, 20.0, monkeypatch)
    begin = time.monotonic()
    result = train(recipe, data_dir, run, mirror=drive, stop_after=6.0)
    assert time.monotonic() - begin < 12  # it would be 20 s and more with the drive
    assert result.reason == "time_limit"
    assert Run(run).checkpoint_steps()[-1] == result.step
    (told,) = [each for each in Run(run).events() if each.event == "mirror"]
    assert "is behind" in told.details["problem"]
    assert f"step {result.step}" in told.details["problem"]


def test_the_copy_at_hand_and_the_next_are_expected_to_take_as_long_as_the_slowest(
    local: Local, monkeypatch: pytest.MonkeyPatch
) -> None:
    local.mirror.flush()  # its first look at the run goes by the real clock
    clock = 0.0
    monkeypatch.setattr(mirror_module, "monotonic", lambda: clock)
    blocked, reached = threading.Event(), threading.Event()
    save = Checkpoints.save

    def slow(checkpoints: Checkpoints, step: int, files: Any) -> Path:
        if checkpoints.folder == local.mirror.run.checkpoints:
            reached.set()
            blocked.wait()
        return save(checkpoints, step, files)

    monkeypatch.setattr(Checkpoints, "save", slow)
    for step, already, seconds in ((1, 5.0, 10.0), (2, 2.0, 8.0), (3, 7.0, 14.0)):
        blocked.clear()
        reached.clear()
        local.save(step)
        reached.wait()
        clock += already
        assert local.mirror.seconds() == pytest.approx(
            seconds
        )  # what is left of this one, and one more
        blocked.set()
        local.mirror.flush()
        assert local.mirror.seconds() == pytest.approx(max(5.0, already))


@pytest.mark.slow
def test_time_is_left_for_a_mirror_that_is_a_little_slow(
    recipe_of: RecipeOf, data_dir: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    drive, run = tmp_path / "drive", tmp_path / "run"
    recipe = recipe_of(["schedule.epochs=4000", "checkpoints.every=20", "validation.every=100000"])
    SlowDrive(drive, 0.5, monkeypatch)
    result = train(recipe, data_dir, run, mirror=drive, stop_after=20.0)
    assert result.reason == "time_limit"
    assert Run(drive / "run").checkpoint_steps()[-1] == result.step
    assert "mirror" not in events(run)


@pytest.mark.parametrize("mirror", [".", "runs", "runs/first", "runs/first/copies", "runs/../runs"])
@pytest.mark.parametrize("how", ["given", "in the recipe", "afresh"])
def test_a_mirror_that_is_the_runs_own_place_is_refused(
    recipe_of: RecipeOf, data_dir: Path, tmp_path: Path, mirror: str, how: str
) -> None:
    run = tmp_path / "runs" / "first"
    place = tmp_path / mirror
    if mirror == ".":  # `./runs/first` would lie in the folder of the copy, `runs`
        run = tmp_path / "runs" / "runs"
    run.parent.mkdir()
    if how == "afresh":
        train(recipe_of(["schedule.epochs=1"]), data_dir, run, stop_after_step=1)
    before = sorted(run.parent.rglob("*"))
    given = None if how == "in the recipe" else place
    settings = [f"checkpoints.mirror={place}"] if given is None else []
    with pytest.raises(InputError, match=r"own place[^$]*--mirror none"):
        train(recipe_of(settings), data_dir, run, mirror=given, fresh=how == "afresh")
    assert sorted(run.parent.rglob("*")) == before
    check = mirror_check(Run(run), place)
    assert (check.verdict, "own place" in check.found) == ("refuse", True)


def test_a_mirror_beside_the_run_is_one(
    recipe_of: RecipeOf, data_dir: Path, tmp_path: Path
) -> None:
    recipe = recipe_of(["schedule.epochs=1"])
    train(recipe, data_dir, tmp_path / "runs" / "first", mirror=tmp_path)
    assert (tmp_path / "first" / "adapter").is_dir()


def test_a_finished_run_catches_up_with_a_mirror_that_comes_later(
    recipe_of: RecipeOf, data_dir: Path, tmp_path: Path
) -> None:
    run, drive, recipe = tmp_path / "run", tmp_path / "drive", recipe_of(["schedule.epochs=1"])
    train(recipe, data_dir, run)
    journal = (run / "events.jsonl").read_bytes()
    told = _Told()
    again = train(recipe, data_dir, run, mirror=drive, observer=told)
    assert again.reason == "already_finished"
    assert told.problems == [None]
    assert_equal_runs(run, drive / "run")
    assert (drive / "run" / "adapter" / "adapter_model.safetensors").is_file()
    assert (
        (run / "events.jsonl").read_bytes()
        == journal
        == (drive / "run" / "events.jsonl").read_bytes()
    )
    # The mirror is the run's from now on: what it lacks is copied by the next call.
    shutil.rmtree(drive / "run" / "adapter")
    train(recipe, data_dir, run)
    assert (drive / "run" / "adapter").is_dir()
    shutil.rmtree(run)
    assert train(recipe, data_dir, run, mirror=drive).reason == "already_finished"
    assert (run / "adapter").is_dir()


def test_a_finished_run_says_why_its_mirror_is_behind(
    recipe_of: RecipeOf, data_dir: Path, tmp_path: Path
) -> None:
    run, drive, recipe = tmp_path / "run", tmp_path / "drive", recipe_of(["schedule.epochs=1"])
    train(recipe, data_dir, run)
    drive.mkdir()
    (drive / "run").write_text("a file in its place")
    told = _Told()
    assert train(recipe, data_dir, run, mirror=drive, observer=told).state == "finished"
    assert [each is not None and str(drive / "run") in each for each in told.problems] == [True]


def test_the_mirror_is_whole_before_trackers_are_waited_for(
    recipe_of: RecipeOf, data_dir: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    drive = tmp_path / "drive"
    SlowDrive(drive, 0.3, monkeypatch)
    held: list[tuple[list[int], bool]] = []
    finish = TrackerProcesses.finish

    def looked_at(self: TrackerProcesses, state: str, *patience: float) -> Any:
        copy = Run(drive / "run")
        if state == "finished":
            held.append((copy.checkpoint_steps()[-1:], (copy.adapter / "README.md").is_file()))
        return finish(self, state, *patience)

    monkeypatch.setattr(TrackerProcesses, "finish", looked_at)
    train(recipe_of(["schedule.epochs=1"]), data_dir, tmp_path / "run", mirror=drive)
    assert held == [([8], True)]


class _Told(Silent):
    """What is said of the mirror."""

    def __init__(self) -> None:
        self.problems: list[str | None] = []

    def event(self, event: Event) -> None:
        if event.event == "mirror":
            self.problems.append(event.details["problem"])
