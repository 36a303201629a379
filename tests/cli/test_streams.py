"""Standard streams that are full, closed, gone, or lack a character: no traceback, and no run that is lost by it."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from lexitrain.runs.folder import Run
from tests.small_runs import write_data

pytestmark = pytest.mark.skipif(sys.platform == "win32", reason="signals of Unix")


def command(*arguments: str) -> list[str]:
    return [sys.executable, "-m", "lexitrain", *arguments]


def training(tmp_path: Path, *more: str) -> list[str]:
    data = write_data(tmp_path / "data")
    run = ["--data", str(data), "--run", str(tmp_path / "run"), "--set", "step.effective_batch=5"]
    settings = ["--set", "checkpoints.every=1000", "--set", "validation.every=1000"]
    return command("train", "--recipe", "demo", *run, *settings, *more)


def test_a_reader_that_goes_makes_training_save_and_stop(tmp_path: Path) -> None:
    """As in `train 2>&1 | head`: the run ended without a checkpoint, with exit code 1."""
    arguments = training(tmp_path, "--set", "schedule.epochs=200")
    with subprocess.Popen(arguments, stdout=subprocess.PIPE, stderr=subprocess.STDOUT) as process:
        assert process.stdout is not None
        process.stdout.readline()
        process.stdout.close()
        assert process.wait(120) == 4
    run = Run(tmp_path / "run")
    assert [run.events()[-1].event, run.events()[-1].details["reason"]] == ["stopped", "signal"]
    assert run.checkpoint_steps()[-1:] == [run.events()[-1].step]


@pytest.mark.slow
def test_training_needs_no_standard_streams(tmp_path: Path) -> None:
    arguments = training(tmp_path, "--set", "schedule.epochs=1")
    closed = 'exec "$@" <&- >&- 2>&-'
    assert subprocess.run(["sh", "-c", closed, "sh", *arguments], check=False).returncode == 0
    assert (Run(tmp_path / "run").adapter / "adapter_model.safetensors").is_file()


@pytest.mark.parametrize("encoding", ["ascii", "latin-1", "cp1252"])
def test_characters_that_a_terminal_does_not_have_are_escapes(encoding: str) -> None:
    told = {**os.environ, "PYTHONIOENCODING": encoding}
    shown = subprocess.run(command("recipes", "demo"), env=told, capture_output=True, check=False)
    assert (shown.returncode, shown.stderr) == (0, b"")
    shown.stdout.decode(encoding)


def test_json_is_the_same_document_in_any_encoding(tmp_path: Path) -> None:
    code = "from lexitrain.cli.terminal.console import print_json; print_json({'a': 'đ é 😀'})"
    for encoding in ("ascii", "latin-1", "utf-8"):
        told = {**os.environ, "PYTHONIOENCODING": f"{encoding}:backslashreplace"}
        shown = subprocess.run(
            [sys.executable, "-c", code], env=told, capture_output=True, check=True
        )
        assert json.loads(shown.stdout.decode(encoding)) == {"a": "đ é 😀"}


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="no device that is always full")
def test_a_full_standard_output_is_said(tmp_path: Path) -> None:
    with Path("/dev/full").open("wb") as full:
        shown = subprocess.run(
            command("runs", str(tmp_path)), stdout=full, stderr=subprocess.PIPE, check=False
        )
        assert shown.returncode in {0, 2}  # nothing is printed where there are no runs
        shown = subprocess.run(
            command("recipes", "demo"), stdout=full, stderr=subprocess.PIPE, check=False
        )
    assert shown.returncode == 2
    assert b"Standard output cannot be written: No space left" in shown.stderr


@pytest.mark.slow
def test_a_full_standard_error_does_not_end_a_run(tmp_path: Path) -> None:
    with Path("/dev/full").open("wb") as full:
        done = subprocess.run(
            training(tmp_path, "--set", "schedule.epochs=1"), stderr=full, check=False
        )
    assert done.returncode == 0


@pytest.mark.slow
def test_the_reader_of_what_nohup_started_may_go(tmp_path: Path) -> None:
    arguments = ["nohup", *training(tmp_path, "--set", "schedule.epochs=2")]
    with subprocess.Popen(
        arguments,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
    ) as process:
        assert process.stdout is not None
        process.stdout.readline()
        process.stdout.close()
        process.wait(120)
    assert Run(tmp_path / "run").events()[-1].event == "finished"
