from __future__ import annotations

import csv
import importlib
import json
from datetime import datetime
from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest

from lexitrain.errors import InputError, MissingExtra
from lexitrain.records import sources
from lexitrain.records.reading import read_records
from lexitrain.records.record import BadRecord, Record

ROWS: list[dict[str, Any]] = [
    {
        "task": "grammar",
        "input": f"He go {n}.",
        "output": {"corrected": f"He goes {n}.", "errors": []},
    }
    for n in range(5)
] + [
    {
        "task": "fluency",
        "input": 'Quote "this",\nplease',
        "output": {"fluency_score": 0.5, "reasoning": "ổn"},
    },
]
RECORDS = [Record(row["task"], row["input"], row["output"], {}) for row in ROWS]


def as_table(row: dict[str, Any]) -> dict[str, str]:
    return row | {"output": json.dumps(row["output"], ensure_ascii=False)}


def write(path: Path, text: str) -> Path:
    path.write_bytes(text.encode())
    return path


def read(path: Path | str) -> list[Record | BadRecord]:
    return list(read_records(path))


def test_jsonl_with_byte_order_mark_blank_lines_and_windows_ends(tmp_path: Path) -> None:
    text = "\ufeff" + "\r\n\r\n".join(json.dumps(row) for row in ROWS)
    assert read(write(tmp_path / "a.jsonl", text)) == RECORDS


def test_jsonl_in_many_chunks_keeps_its_line_numbers(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sources, "CHUNK_BYTES", 64)
    lines = [json.dumps(row) for row in ROWS]
    lines[4] = "{broken"
    found = read(write(tmp_path / "a.jsonl", "\n".join(lines)))
    assert found[:4] + found[5:] == RECORDS[:4] + RECORDS[5:]
    assert isinstance(found[4], BadRecord)
    assert found[4].line == 5
    assert "malformed JSON" in found[4].reason


def test_a_line_that_is_not_utf8_or_no_object_is_named(tmp_path: Path) -> None:
    path = tmp_path / "a.jsonl"
    path.write_bytes(b'{"input": "\xff"}\n"text"\n' + b"[" * 100_000 + b"\n")
    reasons = [str(bad) for bad in read(path)]
    assert reasons[0].startswith(f"{path}:1: not UTF-8")
    assert reasons[1] == f"{path}:2: a record is an object, this is text"
    assert "malformed JSON" in reasons[2]


@pytest.mark.parametrize("chunk", [16, 1 << 20])
@pytest.mark.parametrize("indent", [None, 2])
def test_json_array_in_pieces(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, chunk: int, indent: int | None
) -> None:
    monkeypatch.setattr(sources, "CHUNK_BYTES", chunk)
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


def path_lines(path: Path) -> list[str]:
    return path.read_text(encoding="utf-8").split("\n")


@pytest.mark.parametrize("text", ["[\n{},\n{broken}]", "[\n{},\n{}", "["])
def test_a_broken_json_array_cannot_be_read_on(tmp_path: Path, text: str) -> None:
    with pytest.raises(InputError, match="no JSON array from here on"):
        read(write(tmp_path / "a.json", text))


def test_lines_in_a_file_called_json(tmp_path: Path) -> None:
    text = "\n".join(json.dumps(row) for row in ROWS)
    assert read(write(tmp_path / "a.json", text)) == RECORDS


@pytest.mark.parametrize(("name", "dialect"), [("a.csv", "excel"), ("a.tsv", "excel-tab")])
def test_tables_of_text(tmp_path: Path, name: str, dialect: str) -> None:
    path = tmp_path / name
    with path.open("w", encoding="utf-8-sig", newline="") as file:
        writer = csv.DictWriter(file, ["task", "input", "output", "metadata"], dialect=dialect)
        writer.writeheader()
        writer.writerows(as_table(row) for row in ROWS)
    assert read(path) == RECORDS


def test_bad_rows_of_a_csv_have_their_line(tmp_path: Path) -> None:
    text = 'task,input,output\ngrammar,"two\nlines",x\ngrammar,b,x,extra\ngrammar,c,\n'
    found = read(write(tmp_path / "a.csv", text))
    assert found[0] == Record("grammar", "two\nlines", "x", {})
    assert [str(bad).rpartition("a.csv:")[2] for bad in found[1:]] == [
        "4: more cells than the header has columns",
        "5: no output",
    ]


def test_parquet(tmp_path: Path) -> None:
    pyarrow = pytest.importorskip("pyarrow")
    parquet = pytest.importorskip("pyarrow.parquet")
    path = tmp_path / "a.parquet"
    parquet.write_table(pyarrow.Table.from_pylist(ROWS), path)  # one struct for both tasks' outputs
    assert read(path) == RECORDS
    with pytest.raises(InputError, match="cannot be read"):
        read(write(tmp_path / "b.parquet", "no parquet"))


def test_m2(tmp_path: Path) -> None:
    path = write(tmp_path / "a.m2", "S He go\nA 1 2|||V|||goes|||REQUIRED|||-NONE-|||0\n\nbroken\n")
    good, bad = read(path)
    assert isinstance(good, Record)
    assert good.output == {"corrected": "He goes", "errors": [{"type": "V", "span": "go"}]}
    assert str(bad) == f"{path}:4: an M2 block starts with an S line"


def test_a_dataset_folder_through_datasets(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    datasets = pytest.importorskip("datasets")
    monkeypatch.setattr(datasets.config, "HF_DATASETS_CACHE", tmp_path / "cache")
    folder = tmp_path / "corpus"
    folder.mkdir()
    for name, rows in (("learners", ROWS[:4]), ("more", ROWS[4:5]), ("unused", ROWS[5:])):
        write(folder / f"{name}.jsonl", "\n".join(json.dumps(row) for row in rows))
    card = "---\nlicense: mit\nconfigs:\n- config_name: default\n  data_files:\n"
    card += "  - {split: train, path: learners.jsonl}\n  - {split: test, path: more.jsonl}\n---\n"
    write(folder / "README.md", card)
    assert read(folder) == RECORDS[:5]
    saved = tmp_path / "saved"
    datasets.Dataset.from_list([as_table(row) for row in ROWS]).save_to_disk(saved)
    assert read(saved) == RECORDS
    (saved / "state.json").write_text("{}")
    with pytest.raises(InputError, match="cannot read this data set"):
        read(saved)


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
    with pytest.raises(InputError, match="No file in this folder"):
        read(tmp_path / "empty")


def test_a_name_that_no_disk_can_hold_is_an_input_error() -> None:
    for call in (read, sources.source_bytes):
        with pytest.raises(InputError, match="File name too long"):
            call("x" * 300 + ".jsonl")


def test_reading_refuses_what_preparing_refuses(tmp_path: Path) -> None:
    half = json.dumps(ROWS[0] | {"input": "half \ud800"})
    deep = "[" * 100_000
    text = json.dumps(ROWS[0] | {"input": "deep", "output": deep})
    first, second = read(write(tmp_path / "a.jsonl", half + "\n" + text + "\n"))
    assert isinstance(first, BadRecord)
    assert first.reason.startswith("half a surrogate pair")
    assert isinstance(second, BadRecord)
    assert second.reason == "nested too deeply"


def test_without_the_extra_the_install_command_is_named(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def absent(name: str) -> None:
        raise ImportError(name)

    monkeypatch.setattr(sources, "import_module", absent)
    with pytest.raises(MissingExtra, match=r"lexitrain\[hub\]"):
        read("somebody/corpus")
    with pytest.raises(MissingExtra, match=r"lexitrain\[hub\]"):
        read(write(tmp_path / "a.parquet", ""))


@pytest.mark.parametrize(
    "name", ["missing.jsonl", "missing", "/no/such/folder", "./owner/name", "a/b/c"]
)
def test_what_is_not_there(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, name: str) -> None:
    monkeypatch.chdir(tmp_path)
    with pytest.raises(InputError, match="no such file or folder"):
        read(name)


def test_a_name_inside_an_existing_folder_is_no_hub_id(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "data").mkdir()
    with pytest.raises(InputError, match="no such file or folder"):
        read("data/train")


def test_an_unknown_kind_of_file_lists_the_known_ones(tmp_path: Path) -> None:
    with pytest.raises(InputError, match=r"\.jsonl"):
        read(write(tmp_path / "a.docx", ""))


def test_a_table_that_is_not_utf8_is_an_input_error(tmp_path: Path) -> None:
    path = tmp_path / "a.csv"
    path.write_bytes(b"task,input,output\ngrammar,\xff,x\n")
    with pytest.raises(InputError, match="not UTF-8"):
        read(path)


def test_what_follows_a_json_array_is_not_lost_in_silence(tmp_path: Path) -> None:
    array = json.dumps(ROWS)
    with pytest.raises(InputError, match="something follows it") as caught:
        read(write(tmp_path / "a.json", array + "\n" + array))
    assert str(caught.value.where).endswith("a.json:1")
    assert read(write(tmp_path / "b.json", array + "\n\n")) == RECORDS


def test_cells_that_json_lacks_become_text_or_numbers(tmp_path: Path) -> None:
    parquet = pytest.importorskip("pyarrow.parquet")
    row = ROWS[0] | {"made": datetime(2026, 1, 2, 3, 4), "price": Decimal("1.5"), "image": b"abc"}
    path = tmp_path / "a.parquet"
    parquet.write_table(importlib.import_module("pyarrow").Table.from_pylist([row]), path)
    [record] = read(path)
    assert isinstance(record, Record)
    about = {"made": "2026-01-02T03:04:00", "price": 1.5, "image": "3 bytes"}
    assert json.loads(record.to_json())["metadata"] == about
