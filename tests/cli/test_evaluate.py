from __future__ import annotations

import json
from pathlib import Path

import pytest

from lexitrain.cli.main import run as lexitrain
from lexitrain.records.record import Record
from tests.said import said
from tests.taught import RECORDS, save_base, save_records, save_run, taught_model


@pytest.fixture(scope="module")
def base(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return save_base(tmp_path_factory.mktemp("base"), taught_model())


@pytest.fixture
def data(tmp_path: Path) -> Path:
    folder = tmp_path / "data"
    folder.mkdir()
    save_records(folder / "test.jsonl")
    save_records(folder / "train.jsonl")
    return folder


def test_a_run_is_scored_and_the_evaluation_kept(
    base: Path, data: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
):
    run = save_run(tmp_path / "run", base)
    assert lexitrain(["evaluate", str(run.path), "--data", str(data)]) == 0
    shown = capsys.readouterr().out
    assert "JSON validity" in shown
    assert "train.jsonl" in shown
    row = next(line for line in shown.splitlines() if " f0.5 " in line)
    assert row.split() == [
        "f0.5",
        "1.000",
        "–",
        "0.000",
        ">",
        "0.68",
        "not",
        "shown",
    ]  # of one record
    saved = run.read_evaluation("test")
    assert saved["tasks"]["grammar"]["scores"]["f0.5"]["value"] == 1.0
    lines = (run.evaluation / "test.answers.jsonl").read_text(encoding="utf-8").splitlines()
    answers = [json.loads(line) for line in lines]
    assert sorted(answer["row"] for answer in answers) == list(range(len(RECORDS)))
    assert all(answer["valid"] for answer in answers)


def test_json_is_one_document(base: Path, data: Path, capsys: pytest.CaptureFixture[str]):
    arguments = ["--data", str(data / "test.jsonl"), "--task", "grammar_correction", "--json"]
    assert lexitrain(["evaluate", str(base), *arguments]) == 0
    document = json.loads(capsys.readouterr().out)
    assert list(document["tasks"]) == ["grammar"]
    assert document["data"]["name"] == "test-grammar"
    assert len(document["data"]["sha256"]) == 64


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["{base}", "--data", "{data}/nothing.jsonl"], "no such file or folder"),
        (["{data}/no-run", "--data", "{data}"], "no such run or model"),
        (["{base}", "--data", "{data}", "--task", "gramar"], "Did you mean grammar"),
        (["{base}", "--data", "{data}/bad.jsonl"], "bad.jsonl:1"),
    ],
)
def test_a_mistake_is_one_message_and_exit_code_2(
    base: Path,
    data: Path,
    arguments: list[str],
    message: str,
    capsys: pytest.CaptureFixture[str],
):
    (data / "bad.jsonl").write_text("{")
    given = [argument.format(base=base, data=data) for argument in arguments]
    assert lexitrain(["evaluate", *given]) == 2
    captured = capsys.readouterr()
    assert message in captured.err
    assert captured.out == ""


def test_scores_are_shown_even_where_they_cannot_be_kept(
    base: Path, data: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
):
    run = save_run(tmp_path / "run", base)
    run.evaluation.write_text("a file where the folder should be")
    assert lexitrain(["evaluate", str(run.path), "--data", str(data)]) == 2
    captured = capsys.readouterr()
    assert "JSON validity" in captured.out
    assert "cannot be saved" in captured.err


def test_other_records_under_the_same_name_keep_their_own_evaluation(
    base: Path, data: Path, tmp_path: Path
):
    run = save_run(tmp_path / "run", base)
    for _ in range(2):
        assert lexitrain(["evaluate", str(run.path), "--data", str(data)]) == 0
    other = tmp_path / "other"
    other.mkdir()
    lines = (data / "test.jsonl").read_text(encoding="utf-8").splitlines(keepends=True)
    (other / "test.jsonl").write_text("".join(lines[:-1]), encoding="utf-8")
    assert lexitrain(["evaluate", str(run.path), "--data", str(other)]) == 0
    names = sorted(path.stem for path in run.evaluation.glob("*.json"))
    assert names[0] == "test"
    assert names[1].startswith("test-")
    assert len(names) == 2


def test_what_is_not_defined_is_a_dash_and_null(
    base: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
):
    """A fluency model without a valid answer has no correlation, and the reasons of its answers are told."""
    save_records(tmp_path / "fluency.jsonl", RECORDS[:2])
    monkeypatch.setattr(
        "lexitrain.evaluation.sources.answer_source.ask", lambda *_, **__: said("no", "never")
    )
    monkeypatch.setenv("HOME", str(tmp_path))
    assert lexitrain(["evaluate", str(base), "--data", "~/fluency.jsonl"]) == 0
    shown = capsys.readouterr().out
    row = next(line for line in shown.splitlines() if " pearson " in line)
    assert row.split() == ["pearson", "–", "–", "0.000", ">", "0.90", "0"]
    assert "Invalid in fluency: 2 × no JSON (Expecting value); e.g. row 0: no" in shown
    assert lexitrain(["evaluate", str(base), "--data", "~/fluency.jsonl", "--json"]) == 0
    pearson = json.loads(capsys.readouterr().out)["tasks"]["fluency"]["scores"]["pearson"]
    assert pearson["value"] is pearson["low"] is pearson["high"] is pearson["met"] is None
    assert pearson["n"] == 0


def test_conversations_are_rows_of_their_own_and_their_turns_are_kept(
    base: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
):
    turns = ({"role": "user", "content": "Hi"}, {"role": "assistant", "content": "Hello"})
    talk = Record("dialogue", "Hi", None, {}, turns)
    data = save_records(tmp_path / "talks.jsonl", (talk, RECORDS[5]))
    run = save_run(tmp_path / "run", base)
    assert lexitrain(["evaluate", str(run.path), "--data", str(data)]) == 0
    shown = capsys.readouterr().out
    assert "dialogue, conversations" in shown
    assert "2 records" in shown
    lines = (run.evaluation / "talks.answers.jsonl").read_text(encoding="utf-8").splitlines()
    kept = [json.loads(line) for line in lines]
    assert [(each["row"], each.get("turn")) for each in kept] == [(1, None), (0, 1)]
    assert kept[1]["loss"] > 0


def test_drawn_answers_are_kept_beside_the_greedy_ones_each_with_its_number(
    base: Path, tmp_path: Path
):
    run = save_run(tmp_path / "run", base)
    data = save_records(tmp_path / "held.jsonl")
    ask = ["evaluate", str(tmp_path / "run"), "--data", str(data), "--json"]
    assert lexitrain(ask) == 0
    assert lexitrain([*ask, "--temperature", "2", "--samples", "3", "--json-schema"]) == 0
    greedy, drawn = (run.read_evaluation(f"held{end}") for end in ("", "-t2-n3-seed0-schema"))
    assert greedy["decoding"] == {
        "temperature": 0.0,
        "samples": 1,
        "seed": 0,
        "json_schema": False,
    }
    assert drawn["decoding"]["samples"] == 3
    assert drawn["n"] == greedy["n"] == len(RECORDS)
    score = drawn["tasks"]["fluency"]["scores"]["mae"]
    assert score["groups"] == 2  # three answers to one record are no three records
    path = run.evaluation / "held-t2-n3-seed0-schema.answers.jsonl"
    lines = [json.loads(line) for line in path.read_text(encoding="utf-8").splitlines()]
    assert [line["sample"] for line in lines] == [1, 2, 3] * len(RECORDS)
    assert all(line["valid"] is not line["truncated"] for line in lines)
    assert sum(task["truncated"] for task in drawn["tasks"].values()) == sum(
        line["truncated"] for line in lines
    )
    # The score is the mean over the samples of each record.
    errors = [
        abs(json.loads(line["text"])["fluency_score"] - line["reference"]["fluency_score"])
        if line["valid"]
        else max(line["reference"]["fluency_score"], 1 - line["reference"]["fluency_score"])
        for line in lines
        if line["task"] == "fluency"
    ]
    assert score["value"] == pytest.approx(sum(errors) / 6)
