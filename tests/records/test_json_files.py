from __future__ import annotations

import json
from pathlib import Path

import pytest

from lexitrain.errors import DataError
from lexitrain.records import json_files
from lexitrain.records.record import BadRecord
from tests.records.examples import RECORDS, ROWS, read, write


def test_jsonl_with_byte_order_mark_blank_lines_and_windows_ends(tmp_path: Path) -> None:
    text = "\ufeff" + "\r\n\r\n".join(json.dumps(row) for row in ROWS)
    assert read(write(tmp_path / "a.jsonl", text)) == RECORDS


def test_jsonl_in_many_chunks_keeps_its_line_numbers(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(json_files, "CHUNK_BYTES", 64)
    lines = [json.dumps(row) for row in ROWS]
    lines[4] = "{broken"
    found = read(write(tmp_path / "a.jsonl", "\n".join(lines)))
    assert found[:4] + found[5:] == RECORDS[:4] + RECORDS[5:]
    assert isinstance(found[4], BadRecord)
    assert found[4].line == 5
    assert "malformed JSON" in found[4].reason


def path_lines(path: Path) -> list[str]:
    return path.read_text(encoding="utf-8").split("\n")


@pytest.mark.parametrize("chunk", [16, 1 << 20])
@pytest.mark.parametrize("indent", [None, 2])
def test_json_array_in_pieces(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, chunk: int, indent: int | None
) -> None:
    monkeypatch.setattr(json_files, "CHUNK_BYTES", chunk)
    text = json.dumps([*ROWS, 3, "text"], indent=indent, ensure_ascii=False)
    found = read(write(tmp_path / "a.json", "\n " + text + "\n"))
    assert found[: len(RECORDS)] == RECORDS
    assert [str(bad).partition(": ")[2] for bad in found[len(RECORDS) :]] == [
        "a record is an object, this is a number",
        "a record is an object, this is text",
    ]
    if indent:
        bad = found[-1]
        assert isinstance(bad, BadRecord)
        assert '"text"' in path_lines(tmp_path / "a.json")[bad.line - 1]


@pytest.mark.parametrize("text", ["[\n{},\n{broken}]", "[\n{},\n{}", "["])
def test_a_broken_json_array_cannot_be_read_on(tmp_path: Path, text: str) -> None:
    with pytest.raises(DataError, match="no JSON array from here on"):
        read(write(tmp_path / "a.json", text))


def test_lines_in_a_file_called_json(tmp_path: Path) -> None:
    text = "\n".join(json.dumps(row) for row in ROWS)
    assert read(write(tmp_path / "a.json", text)) == RECORDS


def test_what_follows_a_json_array_is_not_lost_in_silence(tmp_path: Path) -> None:
    array = json.dumps(ROWS)
    with pytest.raises(DataError, match="something follows it") as caught:
        read(write(tmp_path / "a.json", array + "\n" + array))
    assert str(caught.value.where).endswith("a.json:1")
    assert read(write(tmp_path / "b.json", array + "\n\n")) == RECORDS


ARRAY = json.dumps(ROWS)
LINES = "\n".join(map(json.dumps, ROWS))


@pytest.mark.parametrize("name", ["a.json", "a.jsonl", "a.ndjson"])
@pytest.mark.parametrize(
    "text",
    [
        ARRAY,
        LINES,
        json.dumps(ROWS, indent=1),
        "\n".join(json.dumps(row, indent=1) for row in ROWS),
        json.dumps({"data": ROWS}),
        json.dumps({"rows": ROWS}, indent=2),
    ],
    ids=["array", "lines", "indented", "several lines each", "data", "rows"],
)
@pytest.mark.parametrize("chunk", [16, 1 << 20])
def test_the_content_decides_how_records_stand(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, text: str, name: str, chunk: int
) -> None:
    monkeypatch.setattr(json_files, "CHUNK_BYTES", chunk)
    assert read(write(tmp_path / name, text)) == RECORDS


def test_what_stands_beside_the_list_of_records_is_not_lost(tmp_path: Path) -> None:
    row = {"version": 1, "data": ROWS}
    [bad] = read(write(tmp_path / "a.json", json.dumps(row, indent=1)))
    assert "records stand under `data`" in str(bad)
    long = json.dumps({"data": ROWS * 6000, "version": 1})
    with pytest.raises(DataError, match="Records stand under `data`, and beside it"):
        read(write(tmp_path / "b.json", long))


def test_one_record_whose_first_field_is_a_list_is_no_list_of_records(tmp_path: Path) -> None:
    row = {"history": [["x", "y"]], **ROWS[0]}
    for indent in (None, 1):
        [record] = read(write(tmp_path / "a.json", json.dumps(row, indent=indent)))
        assert not isinstance(record, BadRecord)


def test_a_broken_first_line_is_one_bad_record(tmp_path: Path) -> None:
    bad, *good = read(write(tmp_path / "a.jsonl", '{"input":\n' + LINES))
    assert isinstance(bad, BadRecord)
    assert good == RECORDS


def test_elements_that_share_a_line_are_numbered(tmp_path: Path) -> None:
    text = '[{"x": 1}, {"x": 1},\n{"x": 1}\n, {"x": 1}, {"x": 1}]'
    places = [
        bad.line for bad in read(write(tmp_path / "a.json", text)) if isinstance(bad, BadRecord)
    ]
    assert places == ["1, element 1", "1, element 2", 2, 3, "3, element 5"]


def test_a_key_that_stands_twice_is_a_reason(tmp_path: Path) -> None:
    twice = '{"task": "grammar", "input": "a", "input": "b", "output": "c"}'
    good = json.dumps(ROWS[0])
    for text in (f"{twice}\n{good}", f"[{twice}, {good}]"):
        bad, record = read(write(tmp_path / "a.json", text))
        assert "the key 'input' stands twice" in str(bad)
        assert record == RECORDS[0]
