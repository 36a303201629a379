"""`lexitrain plan` as a user meets it."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from lexitrain.cli.main import run

NANO = ["plan", "--recipe", "demo", "--samples", "200"]


@pytest.fixture(scope="module")
def _folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("user")


@pytest.fixture(autouse=True)
def _own_folders(_folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("XDG_CACHE_HOME", str(_folder))
    monkeypatch.setenv("XDG_CONFIG_HOME", str(_folder))


def test_a_plan_shows_hours_memory_and_disk(capsys: pytest.CaptureFixture[str]):
    assert run(NANO) == 0
    shown = capsys.readouterr().out
    for word in ("hours", "memory", "checkpoints", "fits", "predicted, not measured", "mixture"):
        assert word in shown


def test_json_is_one_document(capsys: pytest.CaptureFixture[str]):
    assert run([*NANO, "--json", "--price", "2"]) == 0
    document = json.loads(capsys.readouterr().out)
    assert document["gpu"] == "T4"
    assert document["fits"] is True
    assert isinstance(document["warnings"], list)
    hours, cost = document["hours"]["expected"], document["cost"]["expected"]
    assert cost == pytest.approx(2 * hours, abs=0.01)


def test_versus_adds_both_plans_and_the_levers(capsys: pytest.CaptureFixture[str], tmp_path: Path):
    old = tmp_path / "old.yaml"
    old.write_text("extends: demo\nlora: {rank: 48}\nschedule: {epochs: 2}\n")
    assert run([*NANO, "--versus", str(old), "--json"]) == 0
    document = json.loads(capsys.readouterr().out)
    assert (document["a"]["recipe"], document["b"]["recipe"]) == ("old", "demo")
    assert [each["lever"] for each in document["levers"]] == ["LoRA rank", "epochs"]
    saved = document["improvement"]["hours_saved"]
    assert sum(each["hours"] for each in document["levers"]) == pytest.approx(saved, abs=1e-3)
    assert run([*NANO, "--versus", str(old), "--plot", str(tmp_path / "plan.png")]) == 0
    assert "Each change's own share" in capsys.readouterr().out
    assert (tmp_path / "plan.png").read_bytes().startswith(b"\x89PNG")


def test_the_pool_of_recorded_cuts_is_a_part_of_the_memory(
    capsys: pytest.CaptureFixture[str], tmp_path: Path
):
    recorded = [*NANO, "--set", "step.graphs=always"]
    assert run(recorded) == 0
    assert "▥ graphs" in capsys.readouterr().out
    assert run(NANO) == 0
    assert "graphs" not in capsys.readouterr().out
    assert run([*recorded, "--json"]) == 0
    memory = json.loads(capsys.readouterr().out)["memory_gb"]
    parts = ("weights", "adapter", "gradients", "optimizer", "activations", "logits", "workspace")
    held = sum(memory[part] for part in parts)
    assert memory["peak"] == pytest.approx(held + memory["graphs"], abs=1e-3)
    assert memory["graphs"] > 0
    # One of the two has the part, the other does not.
    for one, other in ((recorded, "demo"), (NANO, "recorded.yaml")):
        (tmp_path / "recorded.yaml").write_text("extends: demo\nstep: {graphs: always}\n")
        old = other if other == "demo" else str(tmp_path / other)
        picture = tmp_path / "plan.png"
        assert run([*one, "--versus", old, "--plot", str(picture)]) == 0
        assert picture.read_bytes().startswith(b"\x89PNG")
        picture.unlink()


def test_the_usual_trainer_is_rehearsed_where_it_is_asked_for(capsys: pytest.CaptureFixture[str]):
    assert run([*NANO, "--engine", "trainer", "--json"]) == 0
    document = json.loads(capsys.readouterr().out)
    assert document["engine"] == "trainer"
    assert document["choices"]["step.micro_batch"] == "4"
    assert run([*NANO, "--engine", "trainer"]) == 0
    assert "demo in Transformers Trainer" in capsys.readouterr().out


def test_beside_versus_the_teams_recipes_are_what_the_team_ran(capsys: pytest.CaptureFixture[str]):
    small = ["--samples", "200", "--set", "model.base=nano"]
    asked = ["plan", "--recipe", "notebook", "--versus", "demo", *small, "--json"]
    assert run(asked) == 0
    document = json.loads(capsys.readouterr().out)
    assert (document["a"]["engine"], document["b"]["engine"]) == ("lexitrain", "trainer")
    assert document["engine"] == "trainer"
    assert "engine" in {each["lever"] for each in document["levers"]}
    saved = document["improvement"]["hours_saved"]
    assert sum(each["hours"] for each in document["levers"]) == pytest.approx(saved, abs=1e-3)
    assert run([*asked, "--engine", "lexitrain", "--versus-engine", "lexitrain"]) == 0
    document = json.loads(capsys.readouterr().out)
    assert (document["a"]["engine"], document["b"]["engine"]) == ("lexitrain", "lexitrain")
    assert "engine" not in {each["lever"] for each in document["levers"]}


@pytest.mark.parametrize(
    ("options", "where", "says"),
    [
        (["--engine", "trainr"], "--engine", "Did you mean trainer?"),
        (["--versus", "slow", "--versus-engine", "x"], "--versus-engine", "no engine 'x'"),
        (["--versus-engine", "trainer"], "--versus-engine", "no old recipe"),
        (["--engine", "trainer", "--within", "4h"], "--engine", "not both"),
    ],
)
def test_what_is_no_engine_is_refused(
    options: list[str], where: str, says: str, capsys: pytest.CaptureFixture[str]
):
    assert run([*NANO, *options]) == 2
    said = " ".join(capsys.readouterr().err.split())
    assert where in said
    assert says in said


def test_an_unknown_gpu_names_the_nearest(capsys: pytest.CaptureFixture[str]):
    assert run([*NANO, "--gpu", "RTX 3061"]) == 2
    assert "Did you mean RTX 3060?" in capsys.readouterr().err


def test_a_gpu_of_ones_own(capsys: pytest.CaptureFixture[str]):
    own = "name=Mine tflops=40 bandwidth=500 memory=12"
    assert run([*NANO, "--gpu", own, "--json"]) == 0
    assert json.loads(capsys.readouterr().out)["gpu"] == "Mine"


def test_a_base_that_is_not_built_in(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_OFFLINE", True)
    assert run(["plan", "--set", "model.base=some/model"]) == 2
    shown = capsys.readouterr().err
    assert "Qwen/Qwen2.5-0.5B" in shown
    assert "local folder" in shown


def test_a_limit_that_cannot_be_met_is_exit_code_3(capsys: pytest.CaptureFixture[str]):
    assert run([*NANO, "--memory", "0.02"]) == 3
    assert "does not fit" in capsys.readouterr().out
    assert run([*NANO, "--memory", "8"]) == 0


@pytest.mark.parametrize(
    "both",
    [
        ("--data=x.jsonl", "--samples=9"),
        ("--within=1h", "--versus=slow"),
        ("--within=1h", "--plot=x.png"),
    ],
)
def test_an_option_that_would_be_passed_over_is_refused(
    both: tuple[str, str], capsys: pytest.CaptureFixture[str]
):
    assert run(["plan", "--recipe", "demo", *both]) == 2
    assert "not both" in capsys.readouterr().err


@pytest.mark.parametrize("hours", ["soon", "-1", "0"])
def test_hours_must_be_hours(hours: str, capsys: pytest.CaptureFixture[str]):
    assert run([*NANO, f"--within={hours}"]) == 2
    assert "90m" in capsys.readouterr().err


@pytest.mark.slow
def test_within_recommends_or_says_what_is_nearest(capsys: pytest.CaptureFixture[str]):
    command = ["plan", "--samples", "200", "--json"]
    assert run([*command, "--within", "1h30m"]) == 0
    found = json.loads(capsys.readouterr().out)
    assert found["recommended"]["recipe"] == "best"
    assert found["pareto"]
    assert "fits 1.5 h" in found["why"]
    assert run([*command, "--within", "4"]) == 0
    assert "fits 4 h" in json.loads(capsys.readouterr().out)["why"]
    assert run([*command, "--within", "1m", "--memory", "1"]) == 3
    found = json.loads(capsys.readouterr().out)
    assert found["recommended"] is None
    assert found["nearest"]["recipe"]
