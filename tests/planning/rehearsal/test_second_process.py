"""A second process works ahead, and never in the way."""

from __future__ import annotations

import os
import subprocess
import sys
import time
from pathlib import Path

import pytest

from lexitrain.planning.rehearsal.second_process import in_second_process

AHEAD = """
import os, sys
from pathlib import Path
from lexitrain.planning.rehearsal.second_process import in_second_process
file = Path(sys.argv[1])
def work():
    file.write_text(str(os.getpid()))
    raise RuntimeError("is dropped")
with in_second_process(work) as wait:
    wait()
print(os.getpid())
"""
LEFT = """
import time
from lexitrain.planning.rehearsal.second_process import in_second_process
with in_second_process(lambda: time.sleep(60)):
    raise SystemExit(5)
"""
pytestmark = pytest.mark.skipif(
    not hasattr(os, "fork") or (os.cpu_count() or 1) < 2, reason="needs fork and two cores"
)


def test_it_works_in_a_process_of_its_own_and_its_errors_are_dropped(tmp_path: Path):
    run = subprocess.run(
        [sys.executable, "-c", AHEAD, str(tmp_path / "pid")],
        capture_output=True,
        text=True,
        check=True,
    )
    assert run.stderr == ""
    assert (tmp_path / "pid").read_text() != run.stdout.strip()


def test_leaving_early_stops_it():
    start = time.monotonic()
    assert subprocess.run([sys.executable, "-c", LEFT], check=False).returncode == 5
    assert time.monotonic() - start < 30


def test_nothing_is_forked_once_torch_is_loaded(tmp_path: Path):
    import torch

    assert torch.__version__
    with in_second_process((tmp_path / "made").touch) as wait:
        wait()
    assert not (tmp_path / "made").exists()
