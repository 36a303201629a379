"""The GPU comparison goes through all its parts on a CPU."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest
from tests.paths import ROOT


@pytest.mark.slow
@pytest.mark.timeout(900)
def test_the_dry_run_passes(tmp_path: Path):
    pytest.importorskip("trl")
    pytest.importorskip("dashscope")
    done = subprocess.run(
        ["benchmarks/gpu.sh", "--dry-run"],
        cwd=ROOT,
        env={**os.environ, "PYTHON": sys.executable, "OUT": str(tmp_path)},
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    found = json.loads((tmp_path / "gpu.json").read_text(encoding="utf-8"))
    assert found["dry_run"]
    rows = found["everyone"]["competitors"]
    assert set(rows) == {"fast", "trl", "trainer", "notebook"}
    assert all(row["samples_per_second"] > 0 for row in rows.values())
    assert set(found["large_model"]["hours"]) == {"best, 7 epochs", "notebook, 4 epochs"}
    assert found["of_the_ceiling"]["fast"]["model_flops_utilization"] > 0
    assert len(found["shared_prompt"]) == 2


def test_the_wheels_are_pinned_and_few():
    lines = (ROOT / "benchmarks" / "gpu_wheels.txt").read_text(encoding="utf-8").splitlines()
    pins = [line for line in lines if line and not line.startswith("#")]
    assert all("==" in pin for pin in pins)
    locked = (ROOT / "requirements.lock").read_text(encoding="utf-8").splitlines()
    named = {pin.partition("==")[0] for pin in pins} - {
        "liger-kernel"
    }  # CUDA only: not in the lock
    assert named <= {line.partition("==")[0] for line in locked}
