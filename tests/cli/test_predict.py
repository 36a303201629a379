from __future__ import annotations

import io
import json
from pathlib import Path

import pytest

from lexitrain.cli.main import run as lexitrain
from tests.taught import save_base, save_run, taught_model
from tests.tiny import tiny_model

GOES = '{"corrected":"He goes.","errors":[]}'


@pytest.fixture(scope="module")
def base(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return save_base(tmp_path_factory.mktemp("base"), taught_model())


def test_one_text_one_answer(base: Path, capsys: pytest.CaptureFixture[str]):
    assert lexitrain(["predict", str(base), "He go.", "--task", "grammar"]) == 0
    assert capsys.readouterr().out == GOES + "\n"


def test_a_run_of_one_task_needs_no_task(
    base: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
):
    run = save_run(tmp_path / "run", base, tasks=("grammar",))
    assert lexitrain(["predict", str(run.path), "He go."]) == 0
    assert capsys.readouterr().out == GOES + "\n"


def test_lines_of_standard_input(
    base: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.setattr("sys.stdin", io.StringIO("cat\n\n garden \n"))
    assert lexitrain(["predict", str(base), "--task", "vocabulary"]) == 0
    lines = capsys.readouterr().out.splitlines()
    assert [json.loads(line)["level"] for line in lines] == ["A1", "B1"]


def test_json_document(
    base: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
):
    assert lexitrain(["predict", str(base), "He go.", "--task", "grammar", "--json"]) == 0
    assert json.loads(capsys.readouterr().out) == {
        "task": "grammar",
        "input": "He go.",
        "answer": json.loads(GOES),
        "valid": True,
        "text": GOES,
        "problem": None,
    }
    monkeypatch.setattr("sys.stdin", io.StringIO("cat\n"))
    assert lexitrain(["predict", str(base), "--task", "vocabulary", "--json"]) == 0
    assert [each["valid"] for each in json.loads(capsys.readouterr().out)] == [True]


def test_an_invalid_answer_is_printed_and_called_so(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
):
    babbling = save_base(tmp_path / "base", tiny_model())
    assert lexitrain(["predict", str(babbling), "cat", "--task", "vocabulary"]) == 2
    captured = capsys.readouterr()
    assert captured.out.count("\n") == 1
    assert "not a valid answer: no JSON" in captured.err


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["He go."], "knows several tasks"),
        (["He go.", "--task", "vocabulari"], "Did you mean vocabulary"),
        ([" ", "--task", "grammar"], "text is empty"),
    ],
)
def test_a_mistake_is_one_message_and_exit_code_2(
    base: Path, arguments: list[str], message: str, capsys: pytest.CaptureFixture[str]
):
    assert lexitrain(["predict", str(base), *arguments]) == 2
    assert message in capsys.readouterr().err
