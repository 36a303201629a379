"""The GPU comparison goes through all its parts on a CPU."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import zipfile
from pathlib import Path
from typing import Any

import pytest
from benchmarks.compare import unsloth
from benchmarks.compare.competitors import EQUAL
from benchmarks.compare.work import SHAPES
from benchmarks.device_cuts import planned_on
from benchmarks.gpu import LIMIT, Bench, failures
from benchmarks.gpu_parts import PARTS, estimator, of_graphs
from benchmarks.slim_wheels import slimmed
from tests.paths import ROOT

from lexitrain.planning.devices.catalogue import find_gpu
from lexitrain.planning.estimate.plan import make_plan
from lexitrain.planning.estimate.planned_data import mixture_data
from lexitrain.recipe.yaml_file import load_recipe


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
    ours = {"fast", "fast_graphs", "fast_compiled", "fast_graphs_compiled"}
    assert set(rows) == {*ours, "trl", "trainer", "notebook"}
    assert all(row["samples_per_second"] > 0 for row in rows.values())
    for part in ("everyone", "large_model"):
        graphs = found[part]["graphs"]
        assert graphs["equal"]
        assert graphs["recorded_forms"] == graphs["forms"] > 0
        assert graphs["told"] == []
    compiled = found["everyone"]["compiled"]
    assert set(compiled) == {"fast", "fast_graphs"}
    assert all(each["equal"] and each["told"] == [] for each in compiled.values())
    assert set(found["large_model"]["competitors"]) == {
        *("best", "best_graphs", "best_one_row", "best_many_cuts"),
    }
    assert found["large_model"]["competitors"]["best_one_row"]["facts"]["cuts"] == [1]
    assert len(found["large_model"]["graphs"]["losses"]["best"]) == 1
    assert set(found["large_model"]["hours"]) == {"best, 7 epochs", "notebook, 4 epochs"}
    assert found["of_the_ceiling"]["fast"]["model_flops_utilization"] > 0
    assert len(found["shared_prompt"]) == 2
    assert "tiny optimizer.name=adamw" in found["estimator"]["output"]
    assert list(failures(found)) == []


def test_all_parts_fit_into_the_time_limit():
    """Less what the script takes before: installing wheels, importing torch, rendering samples."""
    assert sum(part.needs for part in PARTS) <= LIMIT - 25
    assert PARTS[-2].name == "estimator"  # it leaves the last one its time


def test_a_failure_at_any_depth_is_found():
    document = {
        "versions": {"failed": ""},
        "everyone": {"competitors": {"fast": {"samples_per_second": 1}, "trl": {"failed": "no"}}},
        "estimator": {"failed": "exit 2"},
        "shared_prompt": [{"failed": "out of memory"}],
    }
    assert list(failures(document)) == [
        "everyone: competitors: trl: no",
        "estimator: exit 2",
        "shared_prompt: out of memory",
    ]


def test_an_estimator_that_fails_is_a_failed_part(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sys, "executable", "/bin/false")
    bench = Bench(tmp_path, dry=True, until=0.0)
    bench.part("estimator", 1, lambda: estimator(bench))
    saved = json.loads((tmp_path / "gpu.json").read_text(encoding="utf-8"))
    assert list(failures(saved)) == ["estimator: RuntimeError: exit 1: "]


def rows_with(losses: list[float], graphs: list[float], dtype: str) -> dict[str, Any]:
    facts = {"recorded_forms": 2, "forms": 3, "told": ["one"]}
    return {
        "work": {"dtype": dtype},
        "competitors": {
            "fast": {"losses": losses, "samples_per_second": 10.0},
            "fast_graphs": {"losses": graphs, "samples_per_second": 25.0, "facts": facts},
        },
    }


def test_graphs_whose_losses_differ_have_failed():
    found = of_graphs(rows_with([10.0, 9.0], [10.0005, 9.0], "torch.float32"), "fast")
    assert (found["steps"], found["equal"], found["samples_per_second"]) == (2, True, 2.5)
    assert (found["recorded_forms"], found["forms"], found["told"]) == (2, 3, ["one"])
    assert "failed" not in found
    other = of_graphs(rows_with([10.0, 9.0], [10.0, 9.2], "torch.bfloat16"), "fast")
    assert not other["equal"]
    assert list(failures(other))


def test_unsloth_is_imported_before_what_it_patches():
    """What its worker imports until then."""
    code = (
        "import sys, benchmarks.compare.worker; "
        "print([name for name in ('transformers', 'peft', 'trl') if name in sys.modules])"
    )
    done = subprocess.run(
        [sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, check=True
    )
    assert done.stdout.strip() == "[]"


def test_unsloths_packages_come_first_for_its_own_process(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setenv(unsloth.PACKAGES, "/its/own")
    monkeypatch.setenv("PYTHONPATH", "/ours")
    found = unsloth.environment()
    assert found["PYTHONPATH"] == f"/its/own{os.pathsep}/ours"
    assert found["UNSLOTH_DISABLE_STATISTICS"] == "1"
    assert unsloth.is_there()


def test_a_wheel_loses_what_is_left_out_and_nothing_else(tmp_path: Path):
    wheel = tmp_path / "bitsandbytes-1.0-py3-none-any.whl"
    kept = ["bitsandbytes/__init__.py", "bitsandbytes/libbitsandbytes_cuda130.so"]
    dropped = [f"bitsandbytes/libbitsandbytes_{each}.so" for each in ("cuda118", "rocm72")]
    record = "bitsandbytes-1.0.dist-info/RECORD"
    with zipfile.ZipFile(wheel, "w") as archive:
        for name in (*kept, *dropped):
            archive.writestr(name, name * 100)
        archive.writestr(record, "".join(f"{name},sha256=x,1\n" for name in (*kept, *dropped)))
    assert slimmed(wheel) > 0
    with zipfile.ZipFile(wheel) as archive:
        assert archive.namelist() == [*kept, record]
        assert archive.read(kept[1]).decode() == kept[1] * 100
        assert archive.read(record).decode() == "".join(f"{name},sha256=x,1\n" for name in kept)
    assert slimmed(wheel) == 0


def test_a_prefix_of_a_name_is_not_the_name(tmp_path: Path):
    wheel = tmp_path / "unsloth_zoo-1.0-py3-none-any.whl"
    with zipfile.ZipFile(wheel, "w") as archive:
        archive.writestr("studio/main.py", "x")
    assert slimmed(wheel) == 0


def test_a_plan_and_a_benchmark_cut_alike():
    recipe = load_recipe("fast", EQUAL)
    gpu = find_gpu("H100")
    planned = make_plan(recipe, gpu, mixture_data(48)).cut_cost
    assert planned_on(gpu, SHAPES["0.5B"].architecture(), recipe) == planned
    assert planned.launch > 0


@pytest.mark.parametrize("name", ["gpu_wheels", "gpu_wheels_unsloth"])
def test_the_wheels_are_pinned_and_few(name: str):
    lines = (ROOT / "benchmarks" / f"{name}.txt").read_text(encoding="utf-8").splitlines()
    pins = [line for line in lines if line and not line.startswith("#")]
    assert all("==" in pin for pin in pins)
    locks = [ROOT / "requirements.lock", ROOT / "benchmarks" / "against" / "unsloth.txt"]
    locked = [line for lock in locks for line in lock.read_text(encoding="utf-8").splitlines()]
    # For CUDA alone: in no lock.
    named = {pin.partition("==")[0] for pin in pins} - {"liger-kernel", "xformers"}
    assert named <= {line.partition("==")[0] for line in locked}


def test_unsloth_has_the_same_versions_in_both_comparisons():
    pins = [
        line
        for line in (ROOT / "benchmarks" / "gpu_wheels_unsloth.txt").read_text("utf-8").splitlines()
        if "==" in line and not line.startswith("xformers")
    ]
    other = (ROOT / "benchmarks" / "against" / "unsloth.txt").read_text("utf-8").splitlines()
    assert set(pins) <= set(other)
