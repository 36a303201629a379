from __future__ import annotations

import csv
from pathlib import Path

import pytest

from lexitrain.errors import DataError
from lexitrain.records.record import BadRecord, Record
from tests.records.examples import read, write


def texts(path: Path, body: str) -> list[tuple[str, object]]:
    found = read(write(path / "a.tsv", "task\tinput\toutput\n" + body))
    return [(record.input, record.output) for record in found if isinstance(record, Record)]


@pytest.mark.parametrize(
    "cell", ['"Hello', 'Hello"', '"Hello"', '"', "6'2\"", '"Hi," he said', '"a" "b"']
)
def test_a_quote_is_a_character(tmp_path: Path, cell: str) -> None:
    body = f"g\t{cell}\tx\ng\tplain\ty\ng\t{cell}\t{cell}\n"
    assert texts(tmp_path, body) == [(cell, "x"), ("plain", "y"), (cell, cell)]


@pytest.mark.parametrize(
    "cell", ['He said "hi"', "two\nlines", 'both "x"\nand', '{"corrected": "a"}', "a\n\nb"]
)
@pytest.mark.parametrize("quoting", [csv.QUOTE_MINIMAL, csv.QUOTE_ALL])
def test_cells_that_a_spreadsheet_put_in_quotes(tmp_path: Path, cell: str, quoting: int) -> None:
    path = tmp_path / "a.tsv"
    with path.open("w", newline="") as file:
        writer = csv.writer(file, dialect="excel-tab", quoting=quoting)  # type: ignore[arg-type]
        writer.writerows(
            [("task", "input", "output"), ("g", cell, "x"), ("g", "x", cell), ("g", "p", "q")]
        )
    found = [record for record in read(path) if isinstance(record, Record)]
    assert [record.input for record in found] == [cell, "x", "p"]


def test_rows_that_cannot_be_right(tmp_path: Path) -> None:
    found = read(write(tmp_path / "a.tsv", "task\tinput\toutput\ng\ta\ng\ta\tb\tc\ng\ta\tb\n"))
    assert [bad.line for bad in found if isinstance(bad, BadRecord)] == [2, 3]
    with pytest.raises(DataError, match="parted by ','"):
        read(write(tmp_path / "b.tsv", "task,input,output\ng,a,b\n"))
    with pytest.raises(DataError, match="2 columns are called"):
        read(write(tmp_path / "c.tsv", "input\tINPUT\n"))
    [bad] = read(write(tmp_path / "d.tsv", "grammar\ta\tb\n"))
    assert "is no header" in str(bad)
