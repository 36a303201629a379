"""Notebook machines: the mounted drive is found, and a run that would die with its machine is told."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

from lexitrain.recipe.schema import Recipe
from lexitrain.runs.folder import Run
from lexitrain.training import train
from lexitrain.training.recovery import notebook_machine as machine_module
from lexitrain.training.recovery.notebook_machine import NotebookMachine, this_machine, with_mirror


def test_machines_are_known_by_their_environment() -> None:
    assert this_machine({}) is None
    assert this_machine({"COLAB_RELEASE_TAG": "release-colab"}) == NotebookMachine("Colab")
    assert this_machine({"KAGGLE_KERNEL_RUN_TYPE": "Interactive"}) == NotebookMachine("Kaggle")


def test_the_drive_is_the_mirror_of_a_run_outside_of_it(tmp_path: Path) -> None:
    colab = NotebookMachine("Colab", tmp_path)
    run = tmp_path / "content" / "runs" / "fast"
    assert colab.found_mirror(run) is None
    told = colab.warning(run, None)
    assert told is not None
    assert "drive.mount('/content/drive')" in told["fix"]

    drive = tmp_path / "content" / "drive" / "MyDrive"
    drive.mkdir(parents=True)
    assert colab.found_mirror(run) == drive / "lexitrain"
    assert colab.warning(run, drive / "lexitrain") is None
    assert colab.warning(run, tmp_path / "elsewhere") is not None
    assert colab.found_mirror(drive / "runs" / "fast") is None
    assert colab.warning(drive / "runs" / "fast", None) is None


def test_kaggle_keeps_its_working_folder(tmp_path: Path) -> None:
    kaggle = NotebookMachine("Kaggle", tmp_path)
    assert kaggle.warning(tmp_path / "kaggle" / "working" / "runs" / "fast", None) is None
    told = kaggle.warning(tmp_path / "tmp" / "fast", None)
    assert told is not None
    assert f"--run {tmp_path / 'kaggle' / 'working' / 'runs' / 'fast'}" in told["fix"]


def test_a_training_run_finds_the_drive_and_none_turns_it_off(
    recipe_of: Callable[..., Recipe],
    data_dir: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    colab = NotebookMachine("Colab", tmp_path)
    monkeypatch.setattr(machine_module, "this_machine", lambda: colab)
    run = tmp_path / "content" / "run"
    train(recipe_of(), data_dir, run, stop_after_step=1)
    warning = next(each for each in Run(run).events() if each.event == "warning")
    assert "is deleted when this Colab machine ends" in warning.details["what"]

    drive = tmp_path / "content" / "drive" / "MyDrive"
    drive.mkdir(parents=True)
    train(recipe_of(), data_dir, run, stop_after_step=2)
    assert Run(drive / "lexitrain" / "run").checkpoint_steps() == [1, 2]
    assert [each.event for each in Run(run).events()].count("warning") == 1

    off = recipe_of(["checkpoints.mirror=none"])
    assert with_mirror(off, Run(run), None).checkpoints.mirror_folder is None
