"""Ten kills at random moments, lost disks among them: what comes out is what nobody disturbed."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest
from tests.paths import ROOT


@pytest.mark.slow
def test_ten_kills_change_nothing(tmp_path: Path) -> None:
    done = subprocess.run(
        [
            *(sys.executable, "-m", "benchmarks.torture"),
            *("--kills", "10", "--seed", "1", "--out", tmp_path / "result.json"),
        ],
        cwd=ROOT,
        env={**os.environ, "OMP_NUM_THREADS": "1"},
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    result = json.loads((tmp_path / "result.json").read_text())
    assert result["kills"] == 10
    assert result["disks_lost"] > 0
    assert all(result["equal_to_the_undisturbed_run"].values())


def test_the_saved_result_is_that_of_a_hundred_kills() -> None:
    result = json.loads((ROOT / "benchmarks" / "results" / "torture.json").read_text())
    assert result["kills"] >= 100
    assert all(result["equal_to_the_undisturbed_run"].values())
    assert result["disks_lost"] > 0
    assert result["died"]["writing a checkpoint"] > 0
    assert result["died"]["mirroring"] > 0
