"""Full disks and read-only folders: one clear message, the last checkpoint intact, nothing half-written."""

from __future__ import annotations

import shutil
import subprocess
from collections.abc import Callable, Generator
from pathlib import Path

import pytest

from lexitrain.errors import InputError, Stopped
from lexitrain.recipe.schema import Recipe
from lexitrain.runs.checkpoints import read_checkpoint
from lexitrain.runs.folder import Run
from lexitrain.training import train
from tests.training.test_train import assert_equal_runs


def mount(*arguments: str) -> None:
    done = subprocess.run(["mount", *arguments], capture_output=True, check=False)
    if done.returncode:
        pytest.skip(f"needs the right to mount: {done.stderr.decode().strip()}")


@pytest.fixture
def small_disk(tmp_path: Path) -> Generator[Path]:
    """A disk of 400 KB: room for the start of a run and some checkpoints."""
    if shutil.which("mount") is None:
        pytest.skip("needs mount")
    disk = tmp_path / "disk"
    disk.mkdir()
    mount("-t", "tmpfs", "-o", "size=400k", "tmpfs", str(disk))
    yield disk
    subprocess.run(["umount", "--lazy", str(disk)], check=True)


def temporary_files(run: Path) -> list[str]:
    return [each.name for each in run.rglob(".*") if each.name != ".lock"]


def test_a_full_disk_stops_and_the_same_command_goes_on(
    recipe_of: Callable[..., Recipe], data_dir: Path, small_disk: Path, tmp_path: Path
) -> None:
    recipe = recipe_of(["checkpoints.keep=50"])
    path = small_disk / "run"
    with pytest.raises(Stopped, match="The disk is full") as caught:
        train(recipe, data_dir, path)
    assert caught.value.exit_code == 4
    run = Run(path)
    steps = run.checkpoint_steps()
    assert steps
    assert f"step {steps[-1]} is intact" in str(caught.value)
    for step in steps:
        assert read_checkpoint(run.checkpoint(step)).step == step
    assert temporary_files(path) == []
    assert run.metrics()[-1].step >= steps[-1]

    with pytest.raises(Stopped, match="The disk is full"):  # still full, still intact
        train(recipe, data_dir, path)
    assert run.checkpoint_steps()[-1] >= steps[-1]

    mount("-o", "remount,size=40m", str(small_disk))
    assert train(recipe, data_dir, path).state == "finished"
    train(recipe, data_dir, tmp_path / "undisturbed")
    assert_equal_runs(path, tmp_path / "undisturbed")


def test_a_disk_without_room_for_the_start_leaves_nothing(
    recipe_of: Callable[..., Recipe], data_dir: Path, small_disk: Path
) -> None:
    with (small_disk / "filler").open("wb") as filler, pytest.raises(OSError, match="No space"):
        filler.write(b"\0" * 500_000)
    with pytest.raises(Stopped, match="The disk is full"):
        train(recipe_of(), data_dir, small_disk / "run")
    assert [each.name for each in small_disk.rglob("*")] == ["filler"]


def test_a_read_only_folder_is_told(
    recipe_of: Callable[..., Recipe], data_dir: Path, small_disk: Path
) -> None:
    train(recipe_of(), data_dir, small_disk / "run", stop_after_step=2)
    mount("-o", "remount,ro", str(small_disk))
    for path in (small_disk / "run", small_disk / "new"):
        with pytest.raises(InputError, match="cannot be written") as caught:
            train(recipe_of(), data_dir, path)
        assert caught.value.exit_code == 2
