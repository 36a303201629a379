from __future__ import annotations

import json
import os
import subprocess
import sys
import time
from pathlib import Path

import pytest

from lexitrain.errors import LexiTrainError
from lexitrain.preparation.pipeline import prepare
from lexitrain.preparation.workers import workers_for
from tests.paths import ROOT

TASK = """
import os
from lexitrain.tasks import Task

class Own(Task):
    name = short = "own"
    schema = {{"type": "object", "properties": {{"answer": {{"type": "string"}}}}}}

    def statistics(self, records, answers):
        return {{}}

    def trivial(self, train_records):
        return lambda record: {{"answer": ""}}

    def check(self, record):
        {check}
"""


@pytest.fixture
def source(tmp_path: Path) -> str:
    path = tmp_path / "raw.jsonl"
    rows = [{"task": "own", "input": f"Text {n}", "output": f"Answer {n}"} for n in range(30)]
    path.write_text("".join(json.dumps(row) + "\n" for row in rows), encoding="utf-8")
    return str(path)


def own_task(folder: Path, check: str) -> str:
    """A file of tasks that no import could find."""
    path = folder / "a place apart" / "own.py"
    path.parent.mkdir()
    path.write_text(TASK.format(check=check))
    return str(path)


def test_workers_load_the_users_own_tasks_themselves(tmp_path: Path, source: str) -> None:
    task = own_task(tmp_path, "return 'I do not like it' if record.input == 'Text 7' else None")
    for workers in (0, 2):
        report = prepare([source], tmp_path / str(workers), custom_tasks=[task], workers=workers)
        assert report["tasks"]["own"]["dropped"] == {"invalid: I do not like it": 1}
    for path in (tmp_path / "0").iterdir():
        assert path.read_bytes() == (tmp_path / "2" / path.name).read_bytes()


def test_tasks_are_asked_in_the_workers(tmp_path: Path, source: str) -> None:
    task = own_task(
        tmp_path, "return f'process {os.getpid()}' if record.input != 'Text 1' else None"
    )
    report = prepare([source], tmp_path / "out", custom_tasks=[task], workers=1, max_dropped=1)
    [reason] = report["tasks"]["own"]["dropped"]
    assert int(reason.removeprefix("invalid: process ")) != os.getpid()


def test_a_killed_worker_is_explained(tmp_path: Path, source: str) -> None:
    task = own_task(tmp_path, "os._exit(9)")
    with pytest.raises(LexiTrainError, match="worker process was killed"):
        prepare([source], tmp_path / "out", custom_tasks=[task], workers=1)
    assert not (tmp_path / "out").exists()


def test_workers_end_when_the_main_process_is_killed(tmp_path: Path, source: str) -> None:
    task = own_task(tmp_path, "return str(os.getpid())")
    script = (
        "import os, sys\n"
        "from lexitrain.preparation.scan import Rules, Scanner\n"
        "from lexitrain.preparation.workers import ScanPool\n"
        "from lexitrain.records.sources import chunks\n"
        "if __name__ == '__main__':\n"
        "    with ScanPool(Scanner(Rules(custom_tasks=(sys.argv[2],))), 1) as pool:\n"
        "        [chunk] = pool.scanned(chunks(sys.argv[1]))\n"
        "        print(list(chunk.losses.counts)[0][1], flush=True)\n"
        "        os.kill(os.getpid(), 9)\n"
    )
    program = tmp_path / "program.py"
    program.write_text(script)
    done = subprocess.run(
        [sys.executable, program, source, task],
        capture_output=True,
        text=True,
        check=False,
        timeout=60,
        env=os.environ | {"PYTHONPATH": os.pathsep.join((str(ROOT / "src"), str(ROOT)))},
    )
    assert done.returncode == -9, done.stderr
    worker = int(done.stdout.removeprefix("invalid: "))
    deadline = time.monotonic() + 20
    while is_running(worker):
        assert time.monotonic() < deadline, "the worker still waits"
        time.sleep(0.05)


def is_running(process: int) -> bool:
    try:
        state = Path(f"/proc/{process}/stat").read_text().rpartition(")")[2].split()[0]
    except FileNotFoundError:
        return False
    return state != "Z"


def test_small_inputs_get_no_workers() -> None:
    assert workers_for(1 << 20) == 0
    assert 1 <= workers_for(1 << 30) <= 4
