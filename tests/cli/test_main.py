"""The command itself: help without torch, wrong commands, unexpected errors."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path
from types import SimpleNamespace

import pytest

from lexitrain.cli.main import COMMANDS, run

FORBID_HEAVY = """
import sys
import time
HEAVY = {"torch", "transformers", "peft", "datasets", "bitsandbytes", "accelerate", "pandas", "numpy"}
class Forbid:
    def find_spec(self, name, path=None, target=None):
        if name.partition(".")[0] in HEAVY:
            raise AssertionError(f"help imported {name}")
sys.meta_path.insert(0, Forbid())
from lexitrain.cli.main import run
for arguments in ARGUMENTS:
    code = run([*arguments, "--help"])
    assert code == 0, (arguments, code)
"""

SUBCOMMANDS = [["data", "prepare"], ["data", "generate"], ["data", "lengths"]]


def test_help_of_every_command_imports_nothing_heavy() -> None:
    arguments = [[], *([name] for name in COMMANDS), *SUBCOMMANDS]
    script = FORBID_HEAVY.replace("ARGUMENTS", repr(arguments))
    done = subprocess.run(
        [sys.executable, "-c", script], capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr
    assert all(f"\n  {name} " in done.stdout for name in COMMANDS)


MISTAKES = [
    ["data", "lengths", "x.jsonl", "--recipe", "nonesuch"],
    ["data", "lengths", "x.jsonl", "--plot", "x.jpg"],
    ["train", "--recipe", "nonesuch", "--data", "d", "--run", "r"],
    ["plan", "--recipe", "nonesuch"],
]


def test_a_mistake_in_an_option_is_found_before_anything_heavy_is_loaded() -> None:
    script = FORBID_HEAVY.replace('"numpy"}', "}").replace("code == 0", "code == 2")
    script = script.replace('[*arguments, "--help"]', "arguments").replace(
        "ARGUMENTS", repr(MISTAKES)
    )
    done = subprocess.run(
        [sys.executable, "-c", script], capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr
    assert done.stderr.count("nonesuch") == 3


def test_an_unknown_command_names_the_nearest(capsys: pytest.CaptureFixture[str]) -> None:
    assert run(["trian"]) == 2
    assert "Did you mean `lexitrain train`?" in capsys.readouterr().err


def test_an_unknown_option_is_wrong_usage(capsys: pytest.CaptureFixture[str]) -> None:
    assert run(["recipes", "--nonsense"]) == 2
    assert "Traceback" not in capsys.readouterr().err


def test_an_unexpected_error_leaves_its_traceback_in_a_file(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    def recipes() -> None:
        raise RuntimeError("boom [red]")

    monkeypatch.setitem(sys.modules, "lexitrain.cli.recipes", SimpleNamespace(recipes=recipes))
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path))
    assert run(["recipes"]) == 1
    shown = capsys.readouterr().err
    (report,) = tmp_path.glob("lexitrain-*.txt")
    assert str(report) in shown
    assert "boom [red]" in shown
    assert "Traceback" not in shown
    assert "Traceback" in report.read_text()


def test_recipes_side_by_side(capsys: pytest.CaptureFixture[str]) -> None:
    assert run(["recipes"]) == 0
    shown = capsys.readouterr().out
    assert "Qwen2.5-1.5B-Instruct" in shown
    assert "4 × 6" in shown


def test_recipes_as_json(capsys: pytest.CaptureFixture[str]) -> None:
    assert run(["recipes", "fast", "--set", "lora.rank=8", "--json"]) == 0
    assert json.loads(capsys.readouterr().out)["lora"]["rank"] == 8


def test_a_recipe_printed_as_yaml_is_a_recipe(
    capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    assert run(["recipes", "best", "--yaml"]) == 0
    path = tmp_path / "mine.yaml"
    path.write_text(capsys.readouterr().out)
    assert run(["recipes", str(path)]) == 0
    assert "Passes over the training samples." in capsys.readouterr().out


def signalled(arguments: list[str], started: Path, signal_: int, group: bool) -> tuple[int, str]:
    """Run the command, in a process group of its own, until `started` exists; signal it. Its code and stderr."""
    process = subprocess.Popen(
        [sys.executable, "-m", "lexitrain", *arguments],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        start_new_session=True,
    )
    deadline = time.monotonic() + 60
    while not any(started.parent.glob(started.name)):
        assert process.poll() is None, process.communicate()
        assert time.monotonic() < deadline
        time.sleep(0.01)
    (os.killpg if group else os.kill)(process.pid, signal_)
    _, said = process.communicate(timeout=60)
    return process.returncode, said


@pytest.mark.slow
@pytest.mark.parametrize("signal_", [signal.SIGINT, signal.SIGTERM])
def test_a_signal_ends_generating_with_nothing_left(tmp_path: Path, signal_: int) -> None:
    arguments = ["data", "generate", "--count", "5000000", "--out", str(tmp_path / "raw.jsonl")]
    code, said = signalled(arguments, tmp_path / ".raw.jsonl.partial-*", signal_, group=False)
    assert code == 130
    assert said == "stopped by a signal; nothing was written.\n"
    assert list(tmp_path.iterdir()) == []


@pytest.mark.slow
def test_control_c_is_quiet_while_workers_start(tmp_path: Path) -> None:
    assert run(["data", "generate", "--count", "60000", "--out", str(tmp_path / "raw.jsonl")]) == 0
    arguments = ["data", "prepare", str(tmp_path / "raw.jsonl"), "--out", str(tmp_path / "data")]
    code, said = signalled(
        [*arguments, "--workers", "2"], tmp_path / ".data.partial-*", signal.SIGINT, group=True
    )
    assert code == 130
    assert said == "stopped by a signal; nothing was written.\n"
    assert [path.name for path in tmp_path.iterdir()] == ["raw.jsonl"]
