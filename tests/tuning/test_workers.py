"""Two worker processes on one database: one is killed, and no trial is lost."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from collections import Counter
from collections.abc import Generator
from contextlib import contextmanager
from pathlib import Path

import psutil
import pytest

from lexitrain.runs import Run
from tests.tuning.postgres import postgres

pytestmark = [pytest.mark.slow, pytest.mark.timeout(600)]


@contextmanager
def database(kind: str) -> Generator[list[str]]:
    """The option that names a database."""
    if kind == "sqlite":
        yield []
        return
    with postgres() as url:
        yield ["--storage", url]


def command(recipe: Path, data: Path, out: Path, *options: str) -> list[str]:
    tune = [sys.executable, "-m", "lexitrain", "tune", "--recipe", str(recipe), "--data", str(data)]
    # Longer trials than those of the other tests: one is to be killed in its middle.
    return [*tune, "--out", str(out), "--set", "schedule.epochs=40", "--json", *options]


def steps_of(run: Path) -> int:
    saved = Run(run).checkpoint_steps()
    return saved[-1] if saved else 0


def busy(worker: psutil.Process, out: Path) -> Path | None:
    """The run that a worker trains, once it has a checkpoint and is not near its end."""
    for run in out.glob("trials/*"):
        try:
            holder = json.loads((run / ".lock").read_bytes() or b"{}")
        except (OSError, ValueError):
            continue
        if holder.get("pid") == worker.pid and 5 <= steps_of(run) <= 80:
            return run
    return None


def wait_for_a_busy_worker(parent: subprocess.Popen[str], out: Path) -> tuple[psutil.Process, Path]:
    deadline = time.monotonic() + 120
    while time.monotonic() < deadline and parent.poll() is None:
        finished = sum(
            any(each.event == "stopped" for each in Run(path).events())
            for path in out.glob("trials/*")
        )
        for worker in psutil.Process(parent.pid).children() if finished >= 2 else []:
            run = busy(worker, out)
            if run is not None:
                return worker, run
        time.sleep(0.02)
    raise AssertionError("no worker was met in the middle of a trial")


@pytest.mark.parametrize("kind", ["sqlite", "postgresql"])
def test_a_killed_workers_trial_is_retried_and_no_other_is_lost(
    kind: str, recipe_file: Path, data_dir: Path, tmp_path: Path
) -> None:
    out = tmp_path / "study"
    with database(kind) as storage:
        wanted = command(recipe_file, data_dir, out, "--trials", "12", "--workers", "2", *storage)
        with subprocess.Popen(
            wanted, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
        ) as parent:
            worker, run = wait_for_a_busy_worker(parent, out)
            before = {
                path: path.read_bytes()
                for path in out.glob("trials/*/events.jsonl")
                if path.parent != run and b'"stopped"' in path.read_bytes()
            }
            step = steps_of(run)
            os.kill(worker.pid, signal.SIGKILL)
            told, said = parent.communicate(timeout=400)
        assert parent.returncode == 0, said
        assert "killed (SIGKILL)" in said
        found = json.loads(told)
        assert found["state"] == "complete"
        assert len(found["trials"]) == 12
        assert all(each["state"] == "finished" for each in found["trials"])
        # The killed trial went on from its checkpoint, in its own folder.
        events = Run(run).events()
        resumed = [each for each in events if each.event == "resumed"]
        assert resumed
        assert int(resumed[0].details["checkpoint"].rpartition("-")[2]) >= step > 0
        # What had been finished was not trained again: its journal only grew, by rungs to come.
        for path, content in before.items():
            assert path.read_bytes().startswith(content)
            assert Counter(each.event for each in Run(path.parent).events())["started"] == 1
        assert "not-asked-for" not in told + said
        for path in [*out.glob("*.json"), *out.glob("*.yaml")]:
            assert "not-asked-for" not in path.read_text()
        # The same command again does nothing more.
        again = subprocess.run(wanted, capture_output=True, text=True, check=True)
        assert json.loads(again.stdout)["trials"] == found["trials"]
        assert " begins" not in again.stderr


def test_sigterm_saves_in_all_workers_and_the_same_command_goes_on(
    recipe_file: Path, data_dir: Path, tmp_path: Path
) -> None:
    out = tmp_path / "study"
    wanted = command(recipe_file, data_dir, out, "--sweep", "lora.rank=1,2,4", "--workers", "2")
    with subprocess.Popen(
        wanted, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
    ) as parent:
        deadline = time.monotonic() + 120
        while not any(steps_of(path) >= 5 for path in out.glob("trials/*")):
            assert time.monotonic() < deadline
            time.sleep(0.05)
        workers = psutil.Process(parent.pid).children()
        parent.send_signal(signal.SIGTERM)
        _, said = parent.communicate(timeout=60)
    assert parent.returncode == 4, said
    assert "run the same command again" in said
    assert not [each for each in workers if each.is_running()]
    done = subprocess.run(wanted, capture_output=True, text=True, check=True)
    found = json.loads(done.stdout)
    assert [each["loss"] is not None for each in found["points"]] == [True] * 3
    resumed = [
        path
        for path in out.glob("trials/*")
        if any(each.event == "resumed" for each in Run(path).events())
    ]
    assert resumed


def test_workers_stop_when_their_parent_is_gone(
    recipe_file: Path, data_dir: Path, tmp_path: Path
) -> None:
    out = tmp_path / "study"
    wanted = command(recipe_file, data_dir, out, "--sweep", "lora.rank=1,2,4", "--workers", "2")
    with subprocess.Popen(wanted, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL) as parent:
        deadline = time.monotonic() + 120
        while not any(steps_of(path) >= 5 for path in out.glob("trials/*")):
            assert time.monotonic() < deadline
            time.sleep(0.05)
        workers = psutil.Process(parent.pid).children()
        assert len(workers) == 2
        parent.kill()
    _, alive = psutil.wait_procs(workers, timeout=60)
    assert alive == []
    stopped = [path for path in out.glob("trials/*") if Run(path).events()[-1].event == "stopped"]
    assert stopped


@pytest.mark.parametrize("kind", ["sqlite", "postgresql"])
def test_two_commands_at_once_share_one_study(
    kind: str, recipe_file: Path, data_dir: Path, tmp_path: Path
) -> None:
    """As on two machines that see the same folder: both begin it, neither does what the other does."""
    out = tmp_path / "study"
    with database(kind) as storage:
        wanted = command(recipe_file, data_dir, out, "--trials", "7", *storage)
        wanted[wanted.index("schedule.epochs=40")] = "schedule.epochs=4"
        parents = [
            subprocess.Popen(wanted, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
            for _ in range(2)
        ]
        told = [each.communicate(timeout=300) for each in parents]
    assert [each.returncode for each in parents] == [0, 0], told
    one, other = (json.loads(out)["trials"] for out, _ in told)
    assert one == other
    assert len(one) == 7
    began = [line for _, said in told for line in said.splitlines() if line.endswith(" begins")]
    assert len(began) == len(set(began)) == 7
    assert all(" begins" in said for _, said in told)
    for path in out.glob("trials/*"):
        assert Counter(each.event for each in Run(path).events())["started"] == 1
