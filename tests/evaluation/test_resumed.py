"""An evaluation that was interrupted goes on where it was, and one of another model does not."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from lexitrain.errors import InputError
from lexitrain.evaluation import EvaluationReport, evaluate
from lexitrain.evaluation.answer_journal import AnswerJournal
from lexitrain.evaluation.generation import Said
from lexitrain.evaluation.sources.answer_source import LoadedAnswerSource
from tests.taught import RECORDS, save_base, save_records, taught_model

KEY = ("grammar", 3, 0, "abc")


@pytest.fixture
def data(tmp_path: Path) -> Path:
    folder = tmp_path / "data"
    folder.mkdir()
    save_base(tmp_path / "base", taught_model())
    save_records(folder / "test.jsonl", RECORDS)
    return folder


@pytest.fixture
def asked(monkeypatch: pytest.MonkeyPatch) -> list[int]:
    """How many questions each call hands over, one at a time."""
    numbers: list[int] = []
    answers, made = LoadedAnswerSource.answers, LoadedAnswerSource.__init__

    def init(self: LoadedAnswerSource, *args: object, **options: object) -> None:
        made(self, *args, **options)  # type: ignore[arg-type]
        self.together = 1

    def counted(self: LoadedAnswerSource, task: object, questions: list[object], **rest: object):  # type: ignore[no-untyped-def]
        numbers.append(len(questions))
        return answers(self, task, questions, **rest)  # type: ignore[arg-type]

    monkeypatch.setattr(LoadedAnswerSource, "__init__", init)
    monkeypatch.setattr(LoadedAnswerSource, "answers", counted)
    return numbers


def evaluated(data: Path, out: Path, stop_after: int = 0, **options: object) -> EvaluationReport:
    done = 0

    def progress(stage: str, _count: int, _total: int) -> None:
        nonlocal done
        done += "loss" not in stage
        if done == stop_after:
            raise KeyboardInterrupt

    return evaluate(
        data.parent / "base", data, out=out, resumable=True, progress=progress, **options
    )  # type: ignore[arg-type]


def test_what_was_answered_is_not_asked_again_and_the_scores_are_the_same(
    data: Path, asked: list[int], tmp_path: Path
) -> None:
    straight = evaluated(data, tmp_path / "straight")
    assert len(asked) == len(RECORDS)
    asked.clear()
    with pytest.raises(KeyboardInterrupt):
        evaluated(data, tmp_path / "out", stop_after=4)
    partial = tmp_path / "out" / "test.partial.jsonl"
    kept = len(partial.read_text().splitlines()) - 1
    assert 0 < kept < 5
    with partial.open("a") as file:
        file.write('{"task": "gram')  # the kill tore a line
    asked.clear()
    report = evaluated(data, tmp_path / "out")
    assert len(asked) == len(RECORDS) - kept
    assert report.evaluation.reused == kept
    saved = report.save()
    assert saved is not None
    assert not partial.exists()
    found = json.loads(saved.read_text())["tasks"]
    expected = json.loads(json.dumps(straight.evaluation.to_json()))["tasks"]
    for task in (*found.values(), *expected.values()):
        del task["seconds"]
    for name, task in expected.items():
        assert found[name] == task


def test_answers_of_another_model_or_prompt_are_not_taken(tmp_path: Path) -> None:
    path = tmp_path / "test.partial.jsonl"
    journal = AnswerJournal(path, {"base": "a"})
    said = [Said("yes \ud800", None), Said("no", 7)]
    journal.add([(KEY, said)])
    assert AnswerJournal(path, {"base": "a"}).known == {KEY: said}
    assert AnswerJournal(path, {"base": "b"}).known == {}
    other = AnswerJournal(path, {"base": "b"})
    other.add([(KEY, said[:1])])
    assert AnswerJournal(path, {"base": "a"}).known == {}
    assert AnswerJournal(path, {"base": "b"}).known == {KEY: said[:1]}


@pytest.mark.parametrize(
    "content", [b"", b"\xff\xfe\n", b"[1]\n{}\n", b'{"model": {"base": "a"}}\nnull\n[]\n{}\n']
)
def test_a_journal_that_is_none_is_written_anew(tmp_path: Path, content: bytes) -> None:
    path = tmp_path / "test.partial.jsonl"
    path.write_bytes(content)
    journal = AnswerJournal(path, {"base": "a"})
    assert journal.known == {}
    journal.add([(KEY, [Said("yes", None)])])
    assert AnswerJournal(path, {"base": "a"}).known == {KEY: [Said("yes", None)]}


def test_where_answers_cannot_be_kept_the_evaluation_goes_on_and_says_so(
    data: Path, tmp_path: Path
) -> None:
    (tmp_path / "file").write_text("x")
    report = evaluated(data, tmp_path / "file" / "out")
    assert report.evaluation.validity == 1.0
    assert report.journal is not None
    assert "Not a directory" in str(report.journal.problem)
    with pytest.raises(InputError, match="cannot be saved"):
        report.save()


def test_a_journal_with_numbers_that_are_none_or_too_few_answers_is_asked_again(
    data: Path, asked: list[int], tmp_path: Path
) -> None:
    with pytest.raises(KeyboardInterrupt):
        evaluated(data, tmp_path / "out", stop_after=3)
    partial = tmp_path / "out" / "test.partial.jsonl"
    head, first, second, *_ = partial.read_text().splitlines()
    endless = {**json.loads(first), "said": [["x", float("inf")]]}
    nothing = {**json.loads(second), "said": []}
    lines = (head, json.dumps(endless), json.dumps(nothing), "[" * 100_000)
    partial.write_text("".join(line + "\n" for line in lines))
    asked.clear()
    report = evaluated(data, tmp_path / "out")
    assert len(asked) == len(RECORDS)
    assert report.evaluation.validity == 1.0
    assert report.evaluation.n == len(RECORDS)


def test_another_models_evaluation_in_the_same_folder_is_kept(data: Path, tmp_path: Path) -> None:
    save_base(tmp_path / "other", taught_model())
    out = tmp_path / "out"
    saved = [evaluate(tmp_path / name, data, out=out).save() for name in ("base", "other", "base")]
    assert saved[0] is not None
    assert saved[1] is not None
    assert saved[0] == saved[2] == out / "test.json"
    told = {json.loads(path.read_text())["model"] for path in (saved[0], saved[1])}
    assert told == {str(tmp_path / "base"), str(tmp_path / "other")}
    assert len(list(out.glob("*.answers.jsonl"))) == 2
