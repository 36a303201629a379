"""A run that is killed and gone on with, told to each tracker and read back by the tracker's own means."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Mapping
from pathlib import Path

import numpy as np
import psutil
import pytest

from lexitrain.recipe import load_recipe
from lexitrain.runs.folder import Run
from lexitrain.storage import Lock
from lexitrain.watching import tell_trackers
from lexitrain.watching.trackers.places import tracker_folder
from tests.small_runs import write_data
from tests.watching import tracked_run
from tests.watching.readers import Numbers, of_mlflow, of_tensorboard, of_trackio, of_wandb

_HERE = Path(tracked_run.__file__)
_FOREIGN = ("WANDB_", "MLFLOW_", "TRACKIO_", "NETRC")


@pytest.fixture
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """An empty home of its own, and nothing of the user's in the environment."""
    for name in [name for name in os.environ if name.startswith(_FOREIGN)]:
        monkeypatch.delenv(name)
    folder = tmp_path / "home"
    folder.mkdir()
    monkeypatch.setenv("HOME", str(folder))
    monkeypatch.setenv("TRACKIO_DIR", str(folder / "trackio"))
    # Nothing may be asked of a network, and nothing is waited for if it is.
    for name in ("http_proxy", "https_proxy", "HTTP_PROXY", "HTTPS_PROXY"):
        monkeypatch.setenv(name, "http://127.0.0.1:9")
    return folder


@pytest.fixture
def start(tmp_path: Path, home: Path) -> Callable[..., subprocess.Popen[bytes]]:
    data = write_data(tmp_path / "data")

    def begin(*trackers: str, kill_at: int = 0, base: str = "nano") -> subprocess.Popen[bytes]:
        command = [
            sys.executable,
            "-m",
            "tests.watching.tracked_run",
            str(data),
            str(tmp_path / "run"),
        ]
        return subprocess.Popen([*command, str(kill_at), base, *trackers], start_new_session=True)

    return begin


def lines_of(run: Run) -> Numbers:
    """metrics.jsonl as step -> name -> number."""
    found: Numbers = {}
    for line in run.metrics():
        values = {name: getattr(line, name) for name in line.__dataclass_fields__ if name != "step"}
        by_task: Mapping[str, float] = values.pop("validation_losses") or {}
        values |= {f"validation_losses/{task}": loss for task, loss in by_task.items()}
        found[line.step] = {name: value for name, value in values.items() if value is not None}
    return found


#: What a line has that is alike when its steps are done again; times are those of the first telling.
_ALIKE = (
    "epoch",
    "loss",
    "learning_rate",
    "grad_norm",
    "validation_loss",
    "supervised_tokens",
    "layout_tokens",
)


def assert_same(told: Numbers, lines: Numbers, *, single: bool = False) -> None:
    assert sorted(told) == sorted(lines)
    for step, line in lines.items():
        assert told[step].keys() == line.keys()
        for name, value in line.items():
            if name in _ALIKE or name.startswith("validation_losses/"):
                assert told[step][name] == (float(np.float32(value)) if single else value), (
                    step,
                    name,
                )


def children_of(tree: psutil.Process) -> list[psutil.Process]:
    return [each for each in tree.children(recursive=True) if each.status() != psutil.STATUS_ZOMBIE]


ALL = ("tensorboard", "trackio", "wandb", "mlflow")


@pytest.mark.slow
@pytest.mark.timeout(600)
@pytest.mark.filterwarnings("ignore::DeprecationWarning", "ignore::ResourceWarning")
def test_a_killed_run_goes_on_in_all_four_without_a_step_lost_or_doubled(
    tmp_path: Path, start: Callable[..., subprocess.Popen[bytes]]
) -> None:
    run = Run(tmp_path / "run")
    for kill_at in (8, 19):  # once before and once after a checkpoint, with steps to be done again
        process = start(*ALL, kill_at=kill_at)
        assert process.wait(300) == -signal.SIGKILL
    process = start(*ALL)
    assert process.wait(300) == 0
    lines = lines_of(run)
    assert max(lines) == 24

    assert_same(of_tensorboard(run.path / "tensorboard"), lines, single=True)
    told, alerts = of_trackio("lexitrain")
    assert_same(told, lines)
    assert alerts.count("finished") == 1
    assert alerts.count("resumed") == 2
    told, config, summary = of_wandb(run.path / "wandb")
    assert_same(told, lines)
    assert config["lora"]["rank"] == "4"
    assert summary["events"][-1].startswith("step 24: finished")
    told, of = of_mlflow(run.path / "mlflow")
    assert_same(told, lines)
    assert of.info.status == "FINISHED"
    assert of.data.params["lora.rank"] == "4"
    assert of.data.tags["event.finished"].startswith("step 24: finished")
    assert not [
        each for each in run.events() if "problem" in each.details and each.event == "tracker"
    ]


@pytest.mark.slow
@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGKILL, signal.SIGINT])
def test_no_process_is_left_when_the_run_is_ended(
    tmp_path: Path, start: Callable[..., subprocess.Popen[bytes]], number: signal.Signals
) -> None:
    process = start("wandb", "mlflow")
    events = Run(tmp_path / "run")
    until = time.monotonic() + 120
    while sum(e.event == "tracker" for e in events.events()) < 2 and process.poll() is None:
        assert time.monotonic() < until
        time.sleep(0.1)
    left = children_of(psutil.Process(process.pid)) if process.poll() is None else []
    process.send_signal(number)
    process.wait(120)
    _, alive = psutil.wait_procs(left, timeout=90)
    assert not alive


def test_what_is_no_tracker_is_refused_before_anything_is_done(tmp_path: Path) -> None:
    from lexitrain.cli.main import run

    data = write_data(tmp_path / "data")
    where = tmp_path / "run"
    command = ["train", "--recipe=demo", f"--data={data}", f"--run={where}"]
    for wrong in ("tensorbord", "wandb:", "none,wandb"):
        assert run([*command, f"--tracker={wrong}"]) == 2
    assert run([*command, "--tracker=wandb", "--tracker=wandb:other"]) == 2
    assert run([*command, "--set=trackers=[neptune]"]) == 2
    assert not where.exists()


def test_a_missing_package_is_told_before_training(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    from lexitrain.cli.main import run
    from lexitrain.watching.trackers import places

    found = places.find_spec
    monkeypatch.setattr(places, "find_spec", lambda name: None if name == "wandb" else found(name))
    data = write_data(tmp_path / "data")
    where = tmp_path / "run"
    arguments = ["train", "--recipe=demo", f"--data={data}", f"--run={where}", "--tracker=wandb"]
    assert run(arguments) == 2
    assert "pip install 'lexitrain[trackers]'" in capsys.readouterr().err
    assert not where.exists()


def test_a_tracker_that_fails_is_switched_off_and_the_run_is_trained(
    tmp_path: Path, start: Callable[..., subprocess.Popen[bytes]], tiny_base: Path
) -> None:
    (tmp_path / "file").write_text("no folder")
    process = start(f"tensorboard:{tmp_path / 'file'}", base=str(tiny_base))
    assert process.wait(200) == 0
    run = Run(tmp_path / "run")
    assert [each.event for each in run.events()].count("finished") == 1
    (problem,) = [each.details["problem"] for each in run.events() if each.event == "tracker"]
    assert "FileExistsError" in problem or "NotADirectoryError" in problem


@pytest.mark.parametrize("held", ["the run", "its tracker"])
def test_nobody_waits_for_a_tracker_that_another_process_tells(
    tmp_path: Path, home: Path, held: str
) -> None:
    run = Run(tmp_path / "run")
    run.write_recipe(load_recipe("demo", ["trackers=[tensorboard]"]))
    run.append_event("started", 0, total_steps=9)
    folder = tracker_folder(run, "tensorboard")
    folder.mkdir(parents=True)
    log = folder / "log.txt"
    log.write_text("what the other one prints\n")
    start = time.monotonic()
    with Lock(run.path if held == "the run" else folder):
        (said,) = tell_trackers(run)
    assert time.monotonic() - start < 5
    assert said["tracker"] == "tensorboard"
    assert ("is being trained" if held == "the run" else "another process") in said["problem"]
    assert log.read_text() == "what the other one prints\n"
    assert "place" in tell_trackers(run)[0]  # and once it has let go
    assert log.read_text() == ""


def test_who_waits_for_a_tracker_leaves_the_log_of_who_tells_it(tmp_path: Path, home: Path) -> None:
    run = Run(tmp_path / "run")
    run.write_recipe(load_recipe("demo"))
    run.append_event("started", 0, total_steps=9)
    folder = tracker_folder(run, "tensorboard")
    folder.mkdir(parents=True)
    log = folder / "log.txt"
    log.write_text("what the other one prints\n")
    waiting = (
        "import sys; from types import SimpleNamespace as Its; from threading import Event\n"
        "from lexitrain.runs import Run; from lexitrain.watching.trackers import child\n"
        "child.LOCK_SECONDS = 0.2\n"
        "child.follow('tensorboard', '', Run(sys.argv[1]), Its(happened=Event()), print)\n"
    )
    with Lock(folder):
        waited = subprocess.run(
            [sys.executable, "-c", waiting, str(run.path)], check=False, timeout=60
        )
    assert waited.returncode
    text = log.read_text()
    assert text.startswith("what the other one prints\n")
    assert "Another process is telling this tracker of the run" in text


def test_a_finished_run_catches_up_with_a_tracker_that_comes_later(
    tmp_path: Path, home: Path, start: Callable[..., subprocess.Popen[bytes]], tiny_base: Path
) -> None:
    assert start(base=str(tiny_base)).wait(300) == 0
    run = Run(tmp_path / "run")
    journal = run.events_file.read_bytes()
    assert start("tensorboard", base=str(tiny_base)).wait(300) == 0
    assert_same(of_tensorboard(run.path / "tensorboard"), lines_of(run), single=True)
    assert run.read_recipe().trackers == ("tensorboard",)
    assert run.events_file.read_bytes() == journal
