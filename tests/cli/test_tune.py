"""`lexitrain tune` as a user meets it."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from lexitrain.cli.main import run
from lexitrain.tuning.study import address


@pytest.fixture
def command(tmp_path: Path, tiny_base: Path, data_dir: Path) -> list[str]:
    recipe = tmp_path / "tiny.yaml"
    recipe.write_text(
        f"extends: demo\nmodel: {{base: {tiny_base}}}\nlora: {{rank: 4, alpha: 8}}\n"
        "data: {workers: 0}\nstep: {effective_batch: 8}\ncheckpoints: {every: 5}\n"
    )
    out = tmp_path / "study"
    return ["tune", "--recipe", str(recipe), "--data", str(data_dir), "--out", str(out)]


@pytest.mark.slow
def test_a_race_is_priced_run_and_told(
    command: list[str], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    plot = tmp_path / "race.svg"
    assert run([*command, "--trials", "2", "--hours", "1h30m", "--plot", str(plot)]) == 0
    shown = capsys.readouterr()
    assert "rung 1" in shown.err
    assert "budget: 2 trials, 1.5 h" in shown.err
    assert shown.err.index("rung 1") < shown.err.index("trial 000")
    assert "Best:" in shown.out
    assert str(tmp_path / "study" / "best.yaml") in shown.out
    assert "validation loss" in plot.read_text()
    assert run(["plan", "--recipe", str(tmp_path / "study" / "best.yaml"), "--gpu", "CPU"]) == 0


@pytest.mark.slow
def test_json_is_one_document_and_a_sweep_is_drawn(
    command: list[str], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    plot = tmp_path / "sweep.png"
    options = ["--sweep", "lora.rank=1,2", "--seeds", "2", "--plot", str(plot), "--json"]
    assert run([*command, *options]) == 0
    document = json.loads(capsys.readouterr().out)
    assert document == json.loads((tmp_path / "study" / "result.json").read_text())
    assert [each["values"] for each in document["points"]] == [{"lora.rank": 1}, {"lora.rank": 2}]
    for each in document["points"]:
        assert each["interval"][0] < each["loss"] < each["interval"][1]
        assert each["parameters"] > 0
        assert each["memory_gb"] > 0
        assert each["seconds"] > 0
    assert plot.read_bytes().startswith(b"\x89PNG")
    assert run([*command, *options[:4]]) == 0
    shown = capsys.readouterr()
    assert "alpha follows the rank" in shown.err
    assert "95 % interval" in shown.out
    assert " begins" not in shown.err


def test_a_dry_run_says_the_price_and_leaves_nothing(
    command: list[str], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert run([*command, "--dry-run", "--json"]) == 0
    shown = capsys.readouterr()
    price = json.loads(shown.out)["price"]
    assert price["hours"]["low"] <= price["hours"]["expected"] <= price["hours"]["high"]
    assert "a whole run" in shown.err
    assert not (tmp_path / "study").exists()


@pytest.mark.parametrize(
    ("options", "what"),
    [
        (["--sweep", "lora.ranks=4"], "Unknown key lora.ranks"),
        (["--hours", "soon"], "no length of time"),
        (["--plot", "race.jpg"], "ends in .png or .svg"),
        (["--money", "-1", "--price", "1"], "no budget"),
        (["--money", "1"], "Add --price"),
        (["--seeds", "2"], "belong to a sweep"),
        (["--storage", "postgresql://me:secret@127.0.0.1:9/studies"], "cannot be used"),
    ],
)
def test_a_mistake_is_one_message_and_exit_code_2(
    options: list[str],
    what: str,
    command: list[str],
    capsys: pytest.CaptureFixture[str],
) -> None:
    assert run([*command, *options]) == 2
    said = capsys.readouterr().err
    assert what in " ".join(said.split())
    assert "Traceback" not in said
    assert "secret" not in said


def test_without_optuna_the_extra_is_named(
    command: list[str], capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(address, "find_spec", lambda _: None)
    assert run(command) == 2
    assert "lexitrain[tune]" in capsys.readouterr().err
