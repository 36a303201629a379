"""Small files that once went wrong (`shared/cases/data` beside the checkout): each is read right, or refused."""

from __future__ import annotations

import csv
import json
from collections import Counter
from pathlib import Path
from typing import Any

import pytest

from lexitrain.errors import DataError
from lexitrain.preparation import prepare
from lexitrain.records.reading import read_records
from lexitrain.records.record import BadRecord, Record
from lexitrain.tasks import aliases, registry
from tests.paths import ROOT

CASES = ROOT.parent / "shared" / "cases" / "data"

pytestmark = pytest.mark.skipif(not CASES.is_dir(), reason="no shared/cases beside the checkout")


def read(name: str) -> list[Record | BadRecord]:
    return list(read_records(CASES / name, aliases=aliases(registry(())), task="dialogue"))


def one(name: str) -> Record:
    [record] = read(name)
    assert isinstance(record, Record), record
    return record


def said(record: Record) -> list[tuple[str, str]]:
    return [(turn["role"], turn["content"]) for turn in record.messages or ()]


def reasons(name: str) -> list[str]:
    return [str(bad).rpartition("/")[2] for bad in read(name) if isinstance(bad, BadRecord)]


def learnt(record: Record) -> list[str]:
    return [
        turn["content"]
        for turn in record.messages or ()
        if turn["role"] == "assistant" and "weight" not in turn
    ]


def test_alpaca_system_history() -> None:
    assert said(one("alpaca_system_history.jsonl")) == [
        ("system", "Answer like a pirate."),
        ("user", "Hello"),
        ("assistant", "Ahoy!"),
        ("user", "Who are you?"),
        ("assistant", "A tutor, arr."),
        ("user", "Correct: he go."),
        ("assistant", "He goes, arr."),
    ]
    assert one("alpaca_system_history.jsonl").metadata == {}


def test_prompt_list_completion_text() -> None:
    turns = [("system", "Be kind."), ("user", "Hi there"), ("assistant", "Hello.")]
    assert said(one("prompt_list_completion_text.jsonl")) == turns


@pytest.mark.parametrize(
    ("name", "answer"),
    [
        ("weight_openai.jsonl", "Green, of course."),
        ("weight_axolotl_training_false.jsonl", "Blue."),
    ],
)
def test_a_turn_of_weight_0_is_context(name: str, answer: str) -> None:
    record = one(name)
    assert [text for role, text in said(record) if role == "assistant"] == [
        "Do not learn this.",
        answer,
    ]
    assert learnt(record) == [answer]


@pytest.mark.parametrize(
    ("name", "reason"),
    [
        ("null_text_part.jsonl", "a part of type 'image', which is no text"),
        ("tool_calls_with_text.jsonl", "`tool_calls`"),
        ("reasoning_content.jsonl", "`reasoning_content`"),
        ("kto_label_false.jsonl", "an unwanted answer (`label` is False)"),
        ("csv_no_header.csv", "the first line of a table must be a header"),
    ],
)
def test_refused_with_the_reason(name: str, reason: str) -> None:
    [bad] = reasons(name)
    assert reason in bad


@pytest.mark.parametrize(
    ("name", "where", "what"),
    [
        ("csv_open_quote_last.csv", ":2", "A quote opens here"),
        ("csv_latin1.csv", ":3", "not UTF-8"),
    ],
)
def test_a_file_that_cannot_be_read_names_its_line(name: str, where: str, what: str) -> None:
    with pytest.raises(DataError, match=what) as caught:
        read(name)
    assert str(caught.value.where).endswith(name + where)
    assert caught.value.fix


def test_assistant_first() -> None:
    record = one("assistant_first.jsonl")
    assert [role for role, _ in said(record)] == ["system", "assistant", "user", "assistant"]
    assert learnt(record) == ["Welcome! Ready?", "Let us begin."]
    assert registry(())["dialogue"].check(record) is None


def test_empty_system() -> None:
    assert said(one("empty_system.jsonl")) == [("user", "Hi b"), ("assistant", "B")]


def test_same_user_turns() -> None:
    assert [
        learnt(record)[-1] for record in read("same_user_turns.jsonl") if isinstance(record, Record)
    ] == [
        "went",
        "ate",
    ]


def test_text_bracket() -> None:
    tasks = registry(())
    records = read("text_bracket.jsonl")
    assert [record.output for record in records if isinstance(record, Record)] == [
        "[ laughs ] He goes home .",
        "{ note } He goes there .",
        "[1] là chú thích.",
        "[1, 2]",
        "He goes away .",
    ]
    for record in records:
        assert isinstance(record, Record)
        assert tasks[record.task].check(record) is None
        assert record.output in (tasks[record.task].reference(record) or {}).values()


def test_empty_output_plain(tmp_path: Path) -> None:
    report = prepare([str(CASES / "empty_output_plain.jsonl")], tmp_path / "out")
    rows = [
        json.loads(line) for line in (CASES / "empty_output_plain.jsonl").read_text().splitlines()
    ]
    empty = sum(not row["output"] for row in rows)
    assert empty
    assert report["records"]["bad"] == 0
    assert report["tasks"]["explanation"]["dropped"] == {"empty output": empty}
    assert report["records"]["kept"] == len(rows) - empty


def test_m2() -> None:
    outputs = [
        record.output for record in read("m2_two_insertions.m2") if isinstance(record, Record)
    ]
    assert [output["corrected"] for output in outputs if isinstance(output, dict)] == [
        "I like tea , and cakes .",
        "I went home because I really was late .",
    ]
    found = {
        record.input: (record.output["corrected"], record.metadata["references"])
        for record in read("m2_alternatives.m2")
        if isinstance(record, Record) and isinstance(record.output, dict)
    }
    assert found == {
        "They lives here .": ("They live here .", ["They live here .", "They lived here ."]),
        "He left house .": (
            "He left the house .",
            ["He left the house .", "He left his house .", "He left a house ."],
        ),
        "We saw dog .": ("We saw the dog .", ["We saw the dog .", "We saw dog ."]),
    }


def test_tables() -> None:
    quotes = [record for record in read("tsv_quotes.tsv") if isinstance(record, Record)]
    assert len(quotes) == 8
    assert [record.input for record in quotes if '"' in record.input] == ['"Hello there', '"Bye']
    assert one("csv_semicolon.csv").input == "Hello you"


def test_places() -> None:
    assert said(one("nested_obj.json")) == [("user", "Say a"), ("assistant", "a")]
    array: list[dict[str, Any]] = json.loads((CASES / "array_one_line_bad.json").read_text())
    number = next(i for i, row in enumerate(array, 1) if "output" not in row)
    [bad] = reasons("array_one_line_bad.json")
    assert (
        bad == f"array_one_line_bad.json:1, element {number}: no output (the row has `instruction`)"
    )
    lines = [json.loads(line) for line in (CASES / "emoji_line_100.jsonl").read_text().splitlines()]
    [bad] = reasons("emoji_line_100.jsonl")
    line = next(i for i, row in enumerate(lines, 1) if "output" not in row)
    assert bad.startswith(f"emoji_line_100.jsonl:{line}: no output")


def test_every_row_of_every_case_is_kept_or_bad() -> None:
    """An independent count of the rows: none is swallowed."""
    for path in sorted(CASES.iterdir()):
        if path.name in ("csv_open_quote_last.csv", "csv_latin1.csv"):
            continue
        text = path.read_text()
        expected = {
            ".jsonl": len(text.splitlines()),
            ".json": Counter(text)["{"] - (path.name == "nested_obj.json"),
            ".m2": text.count("S "),
            ".csv": len(list(csv.reader(text.splitlines()))) - 1,
            ".tsv": len(text.splitlines()) - 1,
        }[path.suffix]
        assert len(read(path.name)) == expected, path.name
