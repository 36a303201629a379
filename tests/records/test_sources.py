from __future__ import annotations

import json
from pathlib import Path

import pytest

from lexitrain.errors import DataError, InputError
from lexitrain.records import sources
from lexitrain.records.record import Record
from tests.records.examples import RECORDS, ROWS, read, write


def test_every_file_below_a_folder_is_read_and_what_is_not_is_said(tmp_path: Path) -> None:
    folder, deep = tmp_path / "corpus", tmp_path / "corpus" / "nested" / "deep"
    deep.mkdir(parents=True)
    write(folder / "train.jsonl", json.dumps(ROWS[0]))
    write(folder / "nested" / "x.json", json.dumps(ROWS[1:2]))
    write(deep / "last.ndjson", json.dumps(ROWS[2]))
    write(folder / "report.json", json.dumps({"seed": 1}))
    write(folder / "notes.txt", "mine")
    write(folder / "README.md", "# Ours\n\nconfigs: none\n")
    (folder / ".hidden").mkdir()
    write(folder / ".hidden" / "y.jsonl", "{broken")
    (folder / "out").mkdir()
    write(folder / "out" / "train.jsonl", "{broken")
    files, left = sources.expanded([str(folder)], folder / "out")
    assert [Path(file).name for file in files] == ["last.ndjson", "x.json", "train.jsonl"]
    assert [Path(file).name for file in left] == ["README.md", "notes.txt", "report.json"]
    (folder / "out" / "train.jsonl").unlink()
    assert sorted(record.input for record in read(folder) if isinstance(record, Record)) == sorted(
        RECORDS[place].input for place in range(3)
    )
    (tmp_path / "empty").mkdir()
    with pytest.raises(DataError, match="No file in this folder"):
        read(tmp_path / "empty")


def test_a_name_that_no_disk_can_hold_is_an_input_error() -> None:
    for call in (read, sources.source_bytes):
        with pytest.raises(InputError, match="File name too long"):
            call("x" * 300 + ".jsonl")


@pytest.mark.parametrize(
    "name", ["missing.jsonl", "missing", "/no/such/folder", "./owner/name", "a/b/c"]
)
def test_what_is_not_there(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, name: str) -> None:
    monkeypatch.chdir(tmp_path)
    with pytest.raises(DataError, match="no such file or folder"):
        read(name)


def test_a_name_inside_an_existing_folder_is_no_hub_id(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "data").mkdir()
    with pytest.raises(DataError, match="no such file or folder"):
        read("data/train")


def test_an_unknown_kind_of_file_lists_the_known_ones(tmp_path: Path) -> None:
    with pytest.raises(DataError, match=r"\.jsonl"):
        read(write(tmp_path / "a.docx", ""))
