"""Writing behind the loop's back: nothing is said before it is on the disk, and no error is lost."""

from __future__ import annotations

import errno
import threading
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from lexitrain.errors import Stopped
from lexitrain.recipe.schema import Recipe
from lexitrain.runs.checkpoints import Checkpoints, read_checkpoint
from lexitrain.runs.folder import Run
from lexitrain.training import Silent, train
from lexitrain.training.event_log import Outcome
from lexitrain.training.recovery.checkpoint_writer import CheckpointWriter
from tests.training.test_train import assert_equal_runs, events

FILES = {"adapter.bin": bytes(100)}


class Gated(Checkpoints):
    """Checkpoints that are written when the test says so; step 13 finds the disk full."""

    def __init__(self, folder: Path) -> None:
        super().__init__(folder, keep=9)
        self.gate = threading.Semaphore(0)

    def save(self, step: int, files: Any) -> Path:
        self.gate.acquire()
        if step == 13:
            raise OSError(errno.ENOSPC, "No space left on device")
        return super().save(step, files)


def save_a_step(writer: CheckpointWriter, step: int) -> None:
    writer.save(step, FILES)
    writer.save_best(step, FILES, {})
    writer.outcomes(wait=True)


def end_badly(writer: CheckpointWriter, step: int) -> None:
    writer.save(step, FILES)
    raise ValueError("mine")


def test_an_outcome_comes_when_the_checkpoint_is_on_the_disk(tmp_path: Path) -> None:
    checkpoints = Gated(tmp_path)
    with CheckpointWriter(checkpoints) as writer:
        writer.save_best(1, FILES, {"validation_loss": 0.5})
        writer.save(1, FILES, validation_loss=0.5)
        assert writer.outcomes() == []
        checkpoints.gate.release()
        [outcome] = writer.outcomes(wait=True)
        seconds = outcome.details.pop("seconds")
        assert seconds >= 0
        details = {"validation_loss": 0.5, "bytes": 100}
        assert outcome == Outcome("checkpoint", 1, details)
        assert read_checkpoint(tmp_path / "step-000001").step == 1
        assert writer.outcomes() == []


def test_the_next_step_waits_so_that_one_checkpoint_is_in_memory(tmp_path: Path) -> None:
    checkpoints = Gated(tmp_path)
    with CheckpointWriter(checkpoints) as writer:
        writer.save(1, FILES)
        threading.Timer(0.05, checkpoints.gate.release).start()
        writer.save(2, FILES)  # returns when step 1 is written
        assert [each.name for each in checkpoints.steps()] == ["step-000001"]
        checkpoints.gate.release()


@pytest.mark.parametrize("background", [True, False])
def test_an_error_is_raised_in_the_loop_and_nothing_is_written_after_it(
    tmp_path: Path, background: bool
) -> None:
    checkpoints = Gated(tmp_path)
    checkpoints.gate.release(9)
    with CheckpointWriter(checkpoints, background=background) as writer:
        writer.save(12, FILES)
        with pytest.raises(OSError, match="No space"):
            save_a_step(writer, 13)
        writer.save(14, FILES)
        writer.outcomes(wait=True)
    assert [each.name for each in checkpoints.steps()] == ["step-000012"]
    assert checkpoints.bests() == []


def test_an_error_on_the_way_out_hides_no_other(tmp_path: Path) -> None:
    checkpoints = Gated(tmp_path)
    checkpoints.gate.release(9)
    with pytest.raises(ValueError, match="mine"), CheckpointWriter(checkpoints) as writer:
        end_badly(writer, 13)
    with pytest.raises(OSError, match="No space"), CheckpointWriter(checkpoints) as writer:
        writer.save(13, FILES)
    with pytest.raises(ValueError, match="mine"), CheckpointWriter(checkpoints) as writer:
        end_badly(writer, 12)
    assert read_checkpoint(tmp_path / "step-000012").files == FILES  # the write at hand ended


class Watching(Silent):
    """Looks at the disk when a checkpoint is told."""

    def __init__(self, run: Path) -> None:
        self._run, self.seen = Run(run), list[int]()

    def event(self, event: Any) -> None:
        if event.event == "checkpoint":
            self.seen.append(read_checkpoint(self._run.checkpoint(event.step)).step)


def test_a_checkpoint_is_told_when_it_is_there_and_the_mode_changes_nothing(
    recipe_of: Callable[..., Recipe], data_dir: Path, tmp_path: Path
) -> None:
    for name, background in (("one", "true"), ("two", "false")):
        recipe = recipe_of([f"checkpoints.background={background}", "checkpoints.keep=9"])
        watching = Watching(tmp_path / name)
        train(recipe, data_dir, tmp_path / name, observer=watching)
        assert watching.seen == [5, 10, 15, 20, 25, 30, 32]
    assert_equal_runs(tmp_path / "one", tmp_path / "two")


def test_a_failing_disk_stops_the_run_with_the_step_that_is_safe(
    recipe_of: Callable[..., Recipe],
    data_dir: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    save = Checkpoints.save

    def failing(checkpoints: Checkpoints, step: int, files: Any) -> Path:
        if step == 15:
            raise OSError(errno.ENOSPC, "No space left on device")
        return save(checkpoints, step, files)

    monkeypatch.setattr(Checkpoints, "save", failing)
    with pytest.raises(Stopped, match=r"disk is full.*step 10 is intact"):
        train(recipe_of(), data_dir, tmp_path / "run")
    monkeypatch.undo()
    assert Run(tmp_path / "run").checkpoint_steps() == [5, 10]
    assert train(recipe_of(), data_dir, tmp_path / "run").state == "finished"
    train(recipe_of(), data_dir, tmp_path / "undisturbed")
    assert_equal_runs(tmp_path / "run", tmp_path / "undisturbed")
    assert events(tmp_path / "run").count("started") == 1
