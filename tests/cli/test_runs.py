"""`lexitrain runs`: what became of each run and how to go on."""

from __future__ import annotations

import json
import os
import shlex
import time
from pathlib import Path
from typing import Any

import pytest

from lexitrain.cli.main import run as lexitrain
from lexitrain.recipe.yaml_file import load_recipe
from lexitrain.runs.checkpoints import Checkpoints
from lexitrain.runs.folder import DataSummary, Run
from lexitrain.runs.listing import list_runs
from tests.runs.test_journals import metrics


def make_run(path: Path, *events: str, steps: int = 0) -> Run:
    run = Run(path)
    run.write_recipe(load_recipe("demo"))
    run.append_event("started", 0, total_steps=30, data="prepared")
    if steps:
        run.append_metrics(metrics(steps - 5, 0.5))
        run.append_metrics(metrics(steps, 0.75))
        manifest = run.checkpoint(steps) / "MANIFEST.json"
        manifest.parent.mkdir(parents=True)
        manifest.write_text("{}")
        os.utime(manifest, (time.time() - 600, time.time() - 600))
    for event in events:
        run.append_event(event, steps)
    return run


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    make_run(tmp_path / "a", "finished", steps=30)
    make_run(tmp_path / "b", "stopped", steps=10)
    make_run(tmp_path / "c")
    make_run(tmp_path / "d" / "grammar", "stopped", "resumed", steps=20)
    (tmp_path / "e").mkdir()
    (tmp_path / "e" / "recipe.yaml").write_text("lora: {rnak: 3}")
    (tmp_path / "f").mkdir()
    return tmp_path


def listed(folder: Path, capsys: pytest.CaptureFixture[str]) -> dict[str, dict[str, Any]]:
    assert lexitrain(["runs", str(folder), "--json"]) == 0
    rows = json.loads(capsys.readouterr().out)
    return {str(Path(row["path"]).relative_to(folder)): row for row in rows}


def test_each_run_has_its_state(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    rows = listed(folder, capsys)
    assert {name: row["state"] for name, row in rows.items()} == {
        "a": "finished",
        "b": "stopped",
        "c": "interrupted",
        "d/grammar": "interrupted",
        "e": "broken",
    }
    assert (rows["b"]["step"], rows["b"]["total_steps"]) == (10, 30)
    assert rows["b"]["best_validation_loss"] == 0.5
    assert rows["b"]["loss"] == pytest.approx(10 + 1 / 3)
    assert rows["b"]["checkpoint_age_seconds"] == pytest.approx(600, abs=60)
    assert rows["c"]["checkpoint_step"] is None
    # Its data are not where they were: no path of another machine is named.
    assert rows["b"]["next"] == f"lexitrain train --run {folder / 'b'} --data DIR"
    assert "lora.rank" in rows["e"]["next"]


def test_a_run_that_trains_is_running(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    with Run(folder / "b").lock():
        assert listed(folder, capsys)["b"]["state"] == "running"


def test_the_table_tells_how_to_go_on(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert lexitrain(["runs", str(folder)]) == 0
    said = capsys.readouterr().out
    assert "step 10, 10 min ago" in said
    assert "10/30" in said
    assert f"lexitrain train --run {folder / 'b'} --data DIR" in said
    assert f"--run {folder / 'a'}" not in said


def test_the_next_command_is_quoted_and_names_what_is_needed(tmp_path: Path) -> None:
    run = make_run(tmp_path / "my run's", "stopped", steps=10)
    (tmp_path / "data").mkdir()
    files = DataSummary(str(tmp_path / "data"), {}, {}, {}, {}, {}, "")
    run.write_data(files)
    (told,) = list_runs(run.path)
    assert shlex.split(told.next) == ["lexitrain", "train", "--run", str(run.path)]
    custom = load_recipe("demo", ["data.custom_tasks=[/lost/mine.py]"])
    run.write_recipe(custom)
    (told,) = list_runs(run.path)
    assert shlex.split(told.next, comments=True) == ["lexitrain", "train", "--run", str(run.path)]
    assert "--trust-tasks if you trust" in told.next


def test_a_tilde_is_the_home_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HOME", str(tmp_path))
    make_run(tmp_path / "runs" / "b", "stopped", steps=10)
    assert [each.path for each in list_runs("~/runs")] == [str(tmp_path / "runs" / "b")]
    assert lexitrain(["runs", "verify", "~/runs/b"]) == 2  # its manifest is none
    assert Run("~/runs/b").exists()


def test_a_folder_without_runs_and_a_missing_one(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert lexitrain(["runs", str(tmp_path), "--json"]) == 0
    assert json.loads(capsys.readouterr().out) == []
    assert lexitrain(["runs", str(tmp_path)]) == 0
    assert "no runs" in capsys.readouterr().err
    assert lexitrain(["runs", str(tmp_path / "nowhere")]) == 2


def checkpointed(path: Path) -> Run:
    run = Run(path)
    run.write_recipe(load_recipe("demo"))
    checkpoints = Checkpoints(run.checkpoints, keep=9)
    checkpoints.save_best(20, {"adapter.bin": b"best"}, {"validation_loss": 0.5})
    for step in (10, 20, 30, 40):
        checkpoints.save(step, {"adapter.bin": bytes(100)})
    return run


def test_verify_reads_everything_and_names_what_is_broken(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    run = checkpointed(tmp_path)
    assert lexitrain(["runs", "verify", str(tmp_path), "--json"]) == 0
    told = json.loads(capsys.readouterr().out)
    assert told["broken"] == {}
    assert "best-000020" in told["intact"]

    file = run.checkpoint(30) / "adapter.bin"
    file.write_bytes(b"x" + file.read_bytes()[1:])
    assert lexitrain(["runs", "verify", str(tmp_path), "--json"]) == 2
    both = capsys.readouterr()
    assert list(json.loads(both.out)["broken"]) == ["step-000030"]
    assert "Broken: step-000030" in both.err
    assert lexitrain(["runs", "verify", str(tmp_path)]) == 2
    assert "step-000030: the content of adapter.bin has changed" in capsys.readouterr().out
    assert lexitrain(["runs", "verify", str(tmp_path / "nowhere")]) == 2


def test_prune_keeps_the_newest_intact_ones_and_the_best(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    run = checkpointed(tmp_path)
    os.truncate(run.checkpoint(40) / "adapter.bin", 5)
    assert lexitrain(["runs", "prune", str(tmp_path), "--keep", "2", "--json"]) == 0
    told = json.loads(capsys.readouterr().out)
    assert told["kept"] == ["step-000020", "step-000030", "best-000020"]
    assert sorted(told["deleted"]) == ["step-000010", "step-000040"]
    assert told["freed_bytes"] > 105
    assert run.checkpoint_steps() == [20, 30]
    with run.lock():
        assert lexitrain(["runs", "prune", str(tmp_path), "--keep", "1"]) == 2
    assert "Another process" in capsys.readouterr().err
    assert lexitrain(["runs", "prune", str(tmp_path), "--keep", "0"]) == 2
    for step in (20, 30):
        os.truncate(run.checkpoint(step) / "adapter.bin", 5)
    assert lexitrain(["runs", "prune", str(tmp_path), "--keep", "1"]) == 0
    assert run.checkpoint_steps() == [20, 30]  # the last ones are left to whoever can mend them


@pytest.mark.parametrize(
    ("word", "fix"),
    [
        ("verfy", "Did you mean `lexitrain runs verify`?"),
        ("compare", "Commands: list, verify, prune"),
        ("report", "Commands: list, verify, prune"),
    ],
)
def test_a_word_that_is_no_command_and_no_folder_is_refused(
    word: str,
    fix: str,
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.chdir(tmp_path)
    assert lexitrain(["runs", word, "a", "b"]) == 2
    shown = capsys.readouterr().err
    assert f"no command '{word}'" in shown
    assert fix in shown
    assert "prune`?" not in shown  # nobody is led to deleting
    make_run(tmp_path / word / "a")
    assert lexitrain(["runs", word, "--json"]) == 0
