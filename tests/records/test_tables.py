from __future__ import annotations

import csv
import importlib
import json
from datetime import datetime
from decimal import Decimal
from pathlib import Path

import pytest

from lexitrain.errors import DataError, MissingExtra
from lexitrain.records import tables
from lexitrain.records.record import Record
from tests.records.examples import RECORDS, ROWS, as_table, read, write


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
        "5: empty output",
    ]


def test_parquet(tmp_path: Path) -> None:
    pyarrow = pytest.importorskip("pyarrow")
    parquet = pytest.importorskip("pyarrow.parquet")
    path = tmp_path / "a.parquet"
    parquet.write_table(pyarrow.Table.from_pylist(ROWS), path)  # one struct for both tasks' outputs
    assert read(path) == RECORDS
    with pytest.raises(DataError, match="cannot be read"):
        read(write(tmp_path / "b.parquet", "no parquet"))


def test_cells_that_json_lacks_become_text_or_numbers(tmp_path: Path) -> None:
    parquet = pytest.importorskip("pyarrow.parquet")
    row = ROWS[0] | {"made": datetime(2026, 1, 2, 3, 4), "price": Decimal("1.5"), "image": b"abc"}
    path = tmp_path / "a.parquet"
    parquet.write_table(importlib.import_module("pyarrow").Table.from_pylist([row]), path)
    [record] = read(path)
    assert isinstance(record, Record)
    about = {"made": "2026-01-02T03:04:00", "price": 1.5, "image": "3 bytes"}
    assert json.loads(record.to_json())["metadata"] == about


def test_parquet_without_the_extra_names_the_install_command(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def absent(name: str) -> None:
        raise ImportError(name)

    monkeypatch.setattr(tables, "import_module", absent)
    with pytest.raises(MissingExtra, match=r"lexitrain\[hub\]"):
        read(write(tmp_path / "a.parquet", ""))
