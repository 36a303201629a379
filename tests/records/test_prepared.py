from __future__ import annotations

from pathlib import Path

import pytest

from lexitrain.errors import DataError
from lexitrain.records.prepared import SPLITS, file_name, read_split, split_file
from tests.records.test_record import RECORDS


def test_the_files_of_the_splits(tmp_path: Path) -> None:
    assert [file_name(split) for split in SPLITS] == [
        "train.jsonl",
        "validation.jsonl",
        "test.jsonl",
    ]
    assert split_file(tmp_path, "test") == tmp_path / "test.jsonl"


def test_a_written_record_is_read_back_equal(tmp_path: Path) -> None:
    path = tmp_path / "train.jsonl"
    path.write_text("".join(record.to_json() + "\n" for record in RECORDS), encoding="utf-8")
    assert read_split(path) == RECORDS


@pytest.mark.parametrize(
    "line",
    [
        "{broken",
        "[]",
        '{"task": "grammar", "input": "x", "metadata": {}}',
        '{"task": 1, "input": "x", "output": {}, "metadata": {}}',
        '{"task": "grammar", "input": "x", "output": 3, "metadata": {}}',
        '{"task": "grammar", "input": "caf\xe9", "output": "x", "metadata": {}}',
        '{"task": "grammar", "input": "half \\ud800", "output": "x", "metadata": {}}',
        '{"task": "grammar", "input": "x", "output": "x", "metadata": ' + "[" * 100_000,
        '{"task": "dialogue", "input": "x", "messages": [1], "metadata": {}}',
        '{"task": "dialogue", "input": "x", "messages": [{"role": "user"}], "metadata": {}}',
        '{"task": "dialogue", "input": "x", "messages": [{"role": "me", "content": "x"}], "metadata": {}}',
        '{"task": "dialogue", "input": "x", "messages": [{"role": "user", "content": 1}], "metadata": {}}',
    ],
    ids=range(12),
)
def test_a_line_that_is_no_prepared_record_is_named(tmp_path: Path, line: str) -> None:
    path = tmp_path / "train.jsonl"
    path.write_bytes((RECORDS[0].to_json() + "\n" + line + "\n").encode("latin-1"))
    with pytest.raises(DataError, match=r"train\.jsonl:2"):
        read_split(path)


def test_a_missing_split_and_a_folder_say_how_to_make_one(tmp_path: Path) -> None:
    with pytest.raises(DataError, match="lexitrain data prepare"):
        read_split(tmp_path / "train.jsonl")
    with pytest.raises(DataError, match="a folder"):
        read_split(tmp_path)
