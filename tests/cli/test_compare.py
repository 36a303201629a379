from __future__ import annotations

import json
from pathlib import Path

import pytest

from lexitrain.cli.main import run as lexitrain
from tests.taught import RECORDS, save_base, save_records, taught_model
from tests.tiny import tiny_model


@pytest.fixture(scope="module")
def bases(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("bases")
    save_base(folder / "taught", taught_model())
    save_base(folder / "untaught", tiny_model(hidden=64))
    save_records(folder / "records.jsonl", RECORDS * 4)
    return folder


def test_a_comparison_is_shown_and_kept(
    bases: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    models = [str(bases / "taught"), str(bases / "untaught")]
    options = ["--data", str(bases / "records.jsonl"), "--out", str(tmp_path / "out")]
    assert lexitrain(["compare", *models, *options]) == 0
    shown = capsys.readouterr().out
    assert "untaught less taught" in shown
    assert "worse" in shown
    assert (tmp_path / "out" / "comparison.html").is_file()
    assert lexitrain(["compare", *models, *options, "--json"]) == 0
    document = json.loads(capsys.readouterr().out)
    assert document == json.loads((tmp_path / "out" / "comparison.json").read_text())
    assert document["margin"] == 0.05


@pytest.mark.parametrize(
    ("arguments", "told"),
    [
        (["{0}/taught", "--data", "{0}/records.jsonl"], "two models"),
        (["{0}/taught", "{0}/no", "--data", "{0}/records.jsonl"], "no such run or model"),
        (["{0}/taught", "{0}/untaught", "--data", "{0}/no"], "no such file"),
        (["{0}/taught", "{0}/taught", "--data", "{0}/records.jsonl", "--margin", "0"], "margin"),
    ],
)
def test_a_mistake_is_one_message_and_exit_code_2(
    bases: Path, arguments: list[str], told: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert lexitrain(["compare", *(each.format(bases) for each in arguments)]) == 2
    captured = capsys.readouterr()
    assert told in captured.err
    assert captured.out == ""
