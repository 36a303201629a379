from __future__ import annotations

import io
import json
import sys
from pathlib import Path

import pytest

from lexitrain.cli.main import run as lexitrain
from lexitrain.cli.terminal.console import one_line, printable
from tests.said import said
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
        "truncated": False,
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
    assert "not a valid answer: ended at the limit of 128 tokens" in captured.err
    # Free text is what a model trained on conversations answers: how such a one is asked is said.
    assert "--messages FILE or --system TEXT" in captured.err


def test_no_text_on_standard_input_is_said(
    base: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.setattr("sys.stdin", io.StringIO("\n"))
    assert lexitrain(["predict", str(base), "--task", "vocabulary"]) == 0
    captured = capsys.readouterr()
    assert captured.out == ""
    assert "standard input holds no text" in captured.err


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


def test_one_invalid_line_among_others_ends_with_code_2_after_all_are_answered(
    base: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.setattr("sys.stdin", io.StringIO("cat\nHe go.\ngarden\n"))
    monkeypatch.setattr(
        "lexitrain.evaluation.answering.ask",
        lambda *_, **__: said(
            '{"level":"A1","key_words":[]}', "no", '{"level":"B1","key_words":[]}'
        ),
    )
    assert lexitrain(["predict", str(base), "--task", "vocabulary"]) == 2
    captured = capsys.readouterr()
    assert len(captured.out.splitlines()) == 3
    assert "1 of 3 answers are not valid" in captured.err


@pytest.mark.parametrize(
    ("text", "place"),
    [("cat\n\nhalf \ud800\n", "standard input:3"), ("cat\n\u200b\n", "standard input:2")],
)
def test_a_line_that_cannot_be_asked_is_named(
    base: Path,
    text: str,
    place: str,
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
):
    monkeypatch.setattr("sys.stdin", io.StringIO(text))
    assert lexitrain(["predict", str(base), "--task", "vocabulary"]) == 2
    assert place in capsys.readouterr().err


def test_half_a_character_on_the_command_line_is_refused(
    base: Path, capsys: pytest.CaptureFixture[str]
):
    assert lexitrain(["predict", str(base), "a\udcff", "--task", "grammar"]) == 2
    assert "half a surrogate pair" in capsys.readouterr().err


TURNS = '[{"role": "user", "content": "Hi"}]'


@pytest.mark.parametrize(
    ("name", "content", "answers"),
    [
        ("one.json", TURNS, None),
        ("one.json", f'{{"messages": {TURNS}}}', None),
        ("list.json", f"[{TURNS}, {TURNS}]", 2),
        ("lines.jsonl", f'{TURNS}\n\n{{"messages": {TURNS}}}\n', 2),
        ("lines.jsonl", TURNS, 1),
        ("lines.txt", f"\ufeff{TURNS}\n{TURNS}\n", 2),
    ],
)
def test_conversations_of_a_file_are_answered(
    base: Path,
    tmp_path: Path,
    name: str,
    content: str,
    answers: int | None,
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
):
    monkeypatch.setattr(
        "lexitrain.evaluation.answering.ask", lambda *given, **_: said("Hello!") * len(given[3])
    )
    monkeypatch.setenv("HOME", str(tmp_path))
    (tmp_path / name).write_text(content, encoding="utf-8")
    ask = ["predict", str(base), "--task", "dialogue", "--messages", f"~/{name}", "--json"]
    assert lexitrain(ask) == 0
    document = json.loads(capsys.readouterr().out)
    found = [document] if answers is None else document
    assert len(found) == (answers or 1)
    assert all(each["text"] == "Hello!" and each["valid"] for each in found)


@pytest.mark.parametrize(
    ("name", "content", "message"),
    [
        ("a.jsonl", TURNS + '\n{"a"\n', "a.jsonl:2: This is no JSON"),
        ("a.jsonl", TURNS + '\n["hi"]\n', "a.jsonl:2: This is no conversation"),
        ("a.json", f"[{TURNS}, 3]", "a.json, element 2: This is no conversation"),
        ("a.json", f'{{"messages": {TURNS}, "tools": []}}', "an object with messages, tools"),
        ("a.json", '[{"role": "assistant", "content": "Hi"}]', "a.json: The last turn is that of"),
        ("a.json", "[]", "There is no conversation"),
        ("a.jsonl", "\n", "There is no conversation"),
        (
            "a.json",
            '[\n{"role": "user", "content": "a",\n"content": "b"}]',
            "the key 'content' stands twice",
        ),
        ("a.jsonl", '[{"role": "system", "content": "a", "role": "user"}]', "'role' stands twice"),
    ],
)
def test_what_is_wrong_with_a_file_of_conversations_is_said(
    base: Path,
    tmp_path: Path,
    name: str,
    content: str,
    message: str,
    capsys: pytest.CaptureFixture[str],
):
    path = tmp_path / name
    path.write_text(content)
    assert lexitrain(["predict", str(base), "--task", "dialogue", "--messages", str(path)]) == 2
    assert message in capsys.readouterr().err


def test_latin_1_and_both_kinds_of_text_are_refused(
    base: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
):
    path = tmp_path / "a.json"
    path.write_bytes('[{"role": "user", "content": "café"}]'.encode("latin-1"))
    assert lexitrain(["predict", str(base), "--task", "dialogue", "--messages", str(path)]) == 2
    assert "iconv" in capsys.readouterr().err
    assert lexitrain(["predict", str(base), "cat", "--messages", str(path)]) == 2
    assert "not both" in capsys.readouterr().err


def test_several_drawn_answers_are_numbered_and_the_same_each_time(
    base: Path, capsys: pytest.CaptureFixture[str]
):
    ask = ["predict", str(base), "cat", "--task", "vocabulary", "--json", "--json-schema"]
    drawn = [*ask, "--temperature", "1.5", "--samples", "3", "--seed", "4"]
    documents: list[list[dict[str, object]]] = []
    for _ in range(2):
        lexitrain(drawn)
        documents.append(json.loads(capsys.readouterr().out))
    assert documents[0] == documents[1]
    assert [each["sample"] for each in documents[0]] == [1, 2, 3]
    for each in documents[0]:
        assert each["valid"] is not each["truncated"]
        limit = "ended at the limit of 128 tokens"
        assert each["problem"] == (limit if each["truncated"] else None)


def test_a_base_that_babbles_is_held_to_the_schema(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
):
    babbling = save_base(tmp_path / "base", tiny_model())
    ask = ["predict", str(babbling), "--task", "vocabulary", "--json", "--json-schema"]
    assert lexitrain([*ask, "--temperature", "3", "--samples", "8", "cat"]) in {0, 2}
    document = json.loads(capsys.readouterr().out)
    ended = [each for each in document if not each["truncated"]]
    assert ended
    assert all(each["valid"] and each["answer"]["level"][0] in "ABC" for each in ended)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (["--samples", "3"], "At temperature 0 all 3 samples would be the same"),
        (["--samples", "0", "--temperature", "1"], "0 samples are no answer"),
        (["--temperature", "nan"], "The temperature is nan"),
        (["--temperature", "1", "--seed", "-1"], "The seed is -1"),
    ],
)
def test_what_cannot_be_decoded_is_refused(
    base: Path, options: list[str], message: str, capsys: pytest.CaptureFixture[str]
):
    assert lexitrain(["predict", str(base), "cat", "--task", "vocabulary", *options]) == 2
    assert message in capsys.readouterr().err


def test_without_llguidance_a_schema_is_a_missing_extra(
    base: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.setitem(sys.modules, "llguidance", None)
    ask = ["predict", str(base), "cat", "--task", "vocabulary"]
    assert lexitrain([*ask, "--json-schema"]) == 2
    assert "pip install 'lexitrain[eval]'" in capsys.readouterr().err
    assert lexitrain(ask) == 0


def test_what_could_steer_a_terminal_is_shown_as_a_dot() -> None:
    assert printable("a\x1b[2Jb\x07\u202ec\nd") == "a·[2Jb··c\nd"
    assert one_line("a \n\t b\x1b", 3) == "a b…"
