"""`lexitrain train`: one document or one message, and the exit code that scripts rely on."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from lexitrain.cli.main import run
from lexitrain.runs.folder import Run
from tests.small_runs import write_data
from tests.tiny import tiny_model, tiny_tokenizer

SETTINGS = (
    "lora.rank=4",
    "data.workers=0",
    "step.effective_batch=5",
    "schedule.epochs=2",
    "checkpoints.every=5",
)


@pytest.fixture(scope="module")
def base(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("base") / "tiny"
    tiny_model().save_pretrained(folder)
    tiny_tokenizer().save_pretrained(folder)
    return folder


@pytest.fixture
def command(base: Path, tmp_path: Path) -> list[str]:
    """The arguments of a run of 16 steps."""
    settings = [f"--set={each}" for each in (f"model.base={base}", *SETTINGS)]
    data = write_data(tmp_path / "data")
    return [
        "train", "--recipe=demo", f"--data={data}", f"--run={tmp_path / 'run'}", *settings,
    ]  # fmt: skip


def test_a_run_is_stopped_gone_on_with_and_finished(
    command: list[str], capsys: pytest.CaptureFixture[str]
) -> None:
    assert run([*command, "--stop-after-step=7"]) == 4
    said = capsys.readouterr()
    assert said.out == ""
    assert "Stopped as asked, saved at step 7 of 16." in said.err
    assert "To go on" in said.err
    assert "Traceback" not in said.err

    assert run([*command, "--json"]) == 0
    said = capsys.readouterr()
    document = json.loads(said.out)
    assert (document["state"], document["step"], document["total_steps"]) == ("finished", 16, 16)
    losses = document["validation_loss"]
    assert losses["best"] < losses["before"]
    assert (Path(document["adapter"]) / "adapter_model.safetensors").is_file()
    assert "going on from step-000007" in said.err
    assert "step 16/16" in said.err
    assert "tokens/s" in said.err

    assert run(command) == 0
    assert "it had finished before" in capsys.readouterr().out


def test_a_stop_with_json_is_a_document_and_exit_code_4(
    command: list[str], capsys: pytest.CaptureFixture[str]
) -> None:
    assert run([*command, "--stop-after-step=2", "--json"]) == 4
    document = json.loads(capsys.readouterr().out)
    assert (document["state"], document["reason"], document["step"]) == (
        "stopped",
        "stop_after_step",
        2,
    )


def test_a_time_limit_is_told_and_can_be_gone_on_from(
    command: list[str], capsys: pytest.CaptureFixture[str]
) -> None:
    assert run([*command, "--stop-after=0.001s"]) == 4
    assert "Stopped by the time limit, saved at step 0 of 16." in capsys.readouterr().err
    assert run([*command, "--stop-at=2099-01-01T00:00", "--stop-after=9h"]) == 0


def test_mistakes_are_one_message_and_exit_code_2(
    command: list[str], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    for change, named in (
        (["--set=lora.rnak=4"], "lora.rank"),
        ([f"--data={tmp_path / 'nowhere'}"], "no such data folder"),
        (["--stop-after-step=0"], "--stop-after-step"),
        (["--stop-after=soon"], "--stop-after"),
        (["--stop-at=2020-01-01T00:00"], "is over"),
        (["--recipe=fats"], "fast"),
    ):
        assert run([*command, *change]) == 2
        said = capsys.readouterr()
        assert named in said.err
        assert "Traceback" not in said.err
        assert said.out == ""
    assert not (tmp_path / "run").exists()


def test_the_run_folder_has_the_recipes_name_by_default(
    command: list[str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    arguments = [each for each in command if not each.startswith("--run=")]
    assert run([*arguments, "--stop-after-step=1"]) == 4
    assert Run("runs/demo").checkpoint_steps() == [1]


@pytest.mark.slow
@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGKILL])
def test_a_process_that_is_stopped_or_killed_goes_on_by_the_same_command(
    command: list[str], tmp_path: Path, number: signal.Signals
) -> None:
    line = [sys.executable, "-m", "lexitrain", *command, "--set=schedule.epochs=12"]
    environment = {**os.environ, "OMP_NUM_THREADS": "1"}
    one = tmp_path / "undisturbed"
    subprocess.run([*line, f"--run={one}"], check=True, capture_output=True, env=environment)

    path = Run(tmp_path / "run")
    with subprocess.Popen(line, stderr=subprocess.PIPE, env=environment) as process:
        while not path.checkpoint_steps():
            assert process.poll() is None
            time.sleep(0.01)
        process.send_signal(number)
        assert process.wait() == (4 if number == signal.SIGTERM else -number)
    assert 0 < path.checkpoint_steps()[-1] < 96
    subprocess.run(line, check=True, capture_output=True, env=environment)
    name = "adapter/adapter_model.safetensors"
    assert (path.path / name).read_bytes() == (one / name).read_bytes()
