"""What version 0.1.0 wrote is resumed, evaluated, verified, planned and read.

The folder `tests/fixtures/written_by_0.1.0` holds prepared data and two runs of 24 steps by that version's commands,
with the same recipe: one that was stopped after step 16, one that finished and was evaluated; and the base `nano` of
that version, whose weights are others today.
"""

from __future__ import annotations

import json
import shutil
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import load_file

from lexitrain.cli.main import run as run_command
from lexitrain.errors import RunChanged
from lexitrain.preparation.pipeline import prepare
from lexitrain.runs.folder import Run
from lexitrain.synthetic import generate
from lexitrain.training import train
from tests.paths import ROOT

WRITTEN = ROOT / "tests" / "fixtures" / "written_by_0.1.0"
WEIGHTS = "adapter_model.safetensors"


@pytest.fixture
def written(tmp_path: Path) -> Path:
    """A copy that may be written to."""
    copy = tmp_path / "copy"
    shutil.copytree(WRITTEN, copy)
    return copy


@pytest.fixture
def folder(written: Path) -> Path:
    """The same, whose runs name their base by its place."""
    for run in ("stopped", "finished"):
        recipe = written / run / "recipe.yaml"
        text = recipe.read_text()
        assert "base: nano" in text
        recipe.write_text(text.replace("base: nano", f"base: {written / 'nano'}"))
    return written


def command(capsys: pytest.CaptureFixture[str], *arguments: object) -> tuple[int, str]:
    code = run_command([str(each) for each in arguments])
    return code, capsys.readouterr().out


def test_a_stopped_run_goes_on_and_ends_like_the_one_that_was_not_stopped(folder: Path) -> None:
    stopped, finished = Run(folder / "stopped"), Run(folder / "finished")
    assert "rng" in json.loads((stopped.checkpoint(16) / "state.json").read_text())
    result = train(stopped.read_recipe(), folder / "data", stopped.path)
    assert (result.state, result.step) == ("finished", 24)

    resumed = [each for each in stopped.events() if each.event == "resumed"]
    assert [each.details["checkpoint"] for each in resumed] == ["step-000016"]
    assert [line.step for line in stopped.metrics()] == [line.step for line in finished.metrics()]
    for ours, theirs in zip(stopped.metrics(), finished.metrics(), strict=True):
        assert ours.loss == pytest.approx(theirs.loss, rel=1e-4)
        measured = theirs.validation_loss
        assert ours.validation_loss == (measured and pytest.approx(measured, rel=1e-4))
    # Another processor rounds otherwise; on the one that wrote the fixture they are equal bit for bit.
    mine, other = (load_file(each.adapter / WEIGHTS) for each in (stopped, finished))
    assert mine.keys() == other.keys()
    for name, weight in mine.items():
        assert torch.allclose(weight, other[name], rtol=1e-3, atol=1e-4), name


def test_a_run_on_the_nano_base_of_then_goes_on_with_todays_only_when_that_is_accepted(
    written: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    run = Run(written / "stopped")
    with pytest.raises(RunChanged, match="other weights than those that nano has now"):
        train(run.read_recipe(), written / "data", run.path)
    result = train(run.read_recipe(), written / "data", run.path, accept_changes=True)
    assert (result.state, result.step) == ("finished", 24)
    accepted = [each.details for each in run.events() if each.event == "accepted"]
    assert accepted == [{"base": ["other weights of nano"]}]
    assert train(run.read_recipe(), written / "data", run.path).reason == "already_finished"
    for name, refused in (("stopped", False), ("finished", True)):
        run_command(["predict", str(written / name), "--task", "grammar", "She go."])
        assert ("other weights" in capsys.readouterr().err) == refused


def test_new_checkpoints_and_the_plan_keep_their_form(folder: Path, tmp_path: Path) -> None:
    old = Run(folder / "finished")
    new = Run(tmp_path / "new")
    train(old.read_recipe(), folder / "data", new.path)

    def form(value: object) -> object:
        """Keys and kinds, numbers of any size."""
        if isinstance(value, dict):
            return {key: form(each) for key, each in value.items()}
        return "number" if isinstance(value, int | float) else type(value).__name__

    plan: Any = form(new.read_plan())
    added = {"cut_cost", "engine", "launch_us", "launches_per_step"}
    assert {key: plan[key] for key in plan if key not in added} == form(old.read_plan())
    assert added <= plan.keys()
    assert form(json.loads(new.data_file.read_text())) == form(
        json.loads(old.data_file.read_text())
    )
    for name in ("step-000024", "best-000024"):
        here, there = (each.checkpoints / name for each in (new, old))
        assert sorted(each.name for each in here.iterdir()) == sorted(
            each.name for each in there.iterdir()
        )
        manifests = [json.loads((each / "MANIFEST.json").read_text()) for each in (here, there)]
        assert form(manifests[0]) == form(manifests[1])
    states = [json.loads((each.checkpoint(24) / "state.json").read_text()) for each in (new, old)]
    assert states[1].pop("rng")
    assert states[0]["loss_scale"].pop("used") is False  # said since 0.2.0
    assert form(states[0]) == form(states[1])
    assert [each.event for each in new.events()] == [each.event for each in old.events()]


def test_a_finished_run_is_left_as_it_is(folder: Path) -> None:
    run = Run(folder / "finished")
    before = {path: path.read_bytes() for path in run.path.rglob("*") if path.is_file()}
    result = train(run.read_recipe(), folder / "data", run.path)
    assert (result.reason, result.step) == ("already_finished", 24)
    after = {path: path.read_bytes() for path in run.path.rglob("*") if path.is_file()}
    assert {path: after[path] for path in before} == before


def test_it_is_evaluated_and_asked_as_before(
    folder: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    run = folder / "finished"
    before = json.loads((run / "evaluation" / "test-6.json").read_text())
    answers = (run / "evaluation" / "test-6.answers.jsonl").read_text()
    code, _ = command(capsys, "evaluate", run, "--data", folder / "data", "--limit", 6)
    assert code == 0
    after = json.loads((run / "evaluation" / "test-6.json").read_text())
    assert after.keys() >= before.keys()
    for task, scores in before["tasks"].items():
        assert after["tasks"][task]["scores"].keys() >= scores["scores"].keys()
        assert after["tasks"][task]["n"] == scores["n"]
    lines = (run / "evaluation" / "test-6.answers.jsonl").read_text().splitlines()
    assert [json.loads(line)["row"] for line in lines] == [
        json.loads(line)["row"] for line in answers.splitlines()
    ]
    asked = ("predict", run, "--task", "grammar", "She go to school.", "--json")
    code, answer = command(capsys, *asked)
    assert code == (0 if json.loads(answer)["valid"] else 2)
    assert json.loads(answer)["text"]


def test_it_is_listed_and_verified(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    code, listed = command(capsys, "runs", folder, "--json")
    assert code == 0
    assert {Path(each["path"]).name: each["state"] for each in json.loads(listed)} == {
        "stopped": "stopped",
        "finished": "finished",
    }
    for name, intact in (("stopped", 2), ("finished", 2)):
        code, verified = command(capsys, "runs", "verify", folder / name, "--json")
        assert code == 0
        assert len(json.loads(verified)["intact"]) == intact


def test_its_data_are_planned_with(
    folder: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("XDG_CACHE_HOME", str(folder / "cache"))
    code, planned = command(
        capsys, "plan", "--recipe", "demo", "--data", folder / "data", "--gpu", "CPU", "--json"
    )
    assert code == 0
    document = json.loads(planned)
    old = json.loads((folder / "finished" / "plan.json").read_text())
    assert document["samples"] == old["samples"] == 96
    assert document.keys() >= old.keys() - {"memory_limit_from"}


def test_the_same_records_are_prepared_to_the_same_bytes(folder: Path, tmp_path: Path) -> None:
    records = tmp_path / "records.jsonl"
    records.write_text("".join(record.to_json() + "\n" for record in generate(120, 7, None)))
    report = prepare([str(records)], tmp_path / "data", seed=42)
    old = json.loads((folder / "data" / "report.json").read_text())
    for name in ("train.jsonl", "validation.jsonl", "test.jsonl"):
        assert (tmp_path / "data" / name).read_bytes() == (folder / "data" / name).read_bytes()
    inputs, theirs = report.pop("inputs"), old.pop("inputs")
    assert inputs[0]["sha256"] == theirs[0]["sha256"]
    assert {key: report[key] for key in old} == old
