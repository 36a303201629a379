from __future__ import annotations

import csv
import io
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from lexitrain.errors import DataError
from lexitrain.records.delimited.csv_rows import quoted_rows
from lexitrain.records.record import BadRecord
from tests.records.examples import read, write

ROW = 'fluency,"Hello, ""you""\nthere",0.5\n'


@pytest.mark.parametrize("delimiter", [",", ";", "\t", "|"])
@pytest.mark.parametrize(
    "header", ["task,input,output", "Task, INPUT ,Output", '"task","input","output"']
)
def test_what_parts_the_cells_is_found_out(tmp_path: Path, delimiter: str, header: str) -> None:
    row = {"task": "fluency", "input": 'Hello, "you"\nthere', "output": "0.5"}
    text = header.replace(",", delimiter) + "\n"
    out = io.StringIO()
    csv.writer(out, delimiter=delimiter).writerow(row.values())
    [record] = read(write(tmp_path / "a.csv", text + out.getvalue()))
    assert not isinstance(record, BadRecord)
    assert (record.task, record.input, record.output) == tuple(row.values())


def test_a_spreadsheet_says_what_parts_the_cells(tmp_path: Path) -> None:
    [record] = read(write(tmp_path / "a.csv", "sep=;\ntask;input;output\ngrammar;a;b\n"))
    assert not isinstance(record, BadRecord)


@pytest.mark.parametrize(
    ("text", "line"),
    [
        ('task,input,output\ng,a,"b\ng,c,d\n', 2),
        ('task,input,output\ng,a,b\ng,"c\nd","e\nf,g\n', 4),
        ('task,input,output\ng,a,"b\ng,c,d\ng,"e",f\n', 2),
        ('task,input,output\ng,"a" b,c\n', 2),
        ('task,input,output\ng,a,b\ng,"Hello,x\ng,c,d\ng,6\'2",y\n', 3),
        ('input,output\n"Hello,x\na,b\nc,d\n6\'2",y\n', 2),
    ],
)
def test_a_quote_that_is_not_closed_is_an_error_where_it_opens(
    tmp_path: Path, text: str, line: int
) -> None:
    with pytest.raises(DataError, match="A quote opens here") as caught:
        read(write(tmp_path / "a.csv", text))
    assert caught.value.where == f"{tmp_path / 'a.csv'}:{line}"


def test_rows_and_headers_that_cannot_be_right(tmp_path: Path) -> None:
    found = read(write(tmp_path / "a.csv", "task,input,output\ng,a\ng,a,b\ng,a,b,c\n"))
    assert [str(bad).rpartition("a.csv:")[2] for bad in found if isinstance(bad, BadRecord)] == [
        "2: fewer cells than the header has columns",
        "4: more cells than the header has columns",
    ]
    with pytest.raises(DataError, match="2 columns are called `input`"):
        read(write(tmp_path / "b.csv", "input,Input,output\na,b,c\n"))
    [bad] = read(write(tmp_path / "c.csv", "explanation,Hello you,xin chao\n"))
    assert "is no header" in str(bad)
    found = read(write(tmp_path / "d.csv", "explanation,Hello,xin\nexplanation,chao,ban\n"))
    assert ["must be a header" in str(bad) for bad in found] == [True]
    assert read(write(tmp_path / "e.csv", "task,input,output\n")) == []


# Too short for a cell of four lines that each look like a row: such a cell is refused.
CELLS = st.text(alphabet=st.sampled_from('ab,;"\n\r \t|é'), max_size=6)


@settings(deadline=None)
@given(st.lists(st.tuples(CELLS, CELLS), max_size=5))
def test_what_pythons_writer_writes_is_read_back(rows: list[tuple[str, str]]) -> None:
    out = io.StringIO()
    csv.writer(out).writerows([("input", "output"), *rows])
    lines = enumerate(io.StringIO(out.getvalue(), newline=""), start=1)
    found = [row for _, row in quoted_rows(lines, ",", "a.csv")]
    assert found == [{"input": a, "output": b} for a, b in rows]
