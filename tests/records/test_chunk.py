from __future__ import annotations

from pathlib import Path

import pytest

from lexitrain.errors import DataError
from tests.records.examples import read


def test_a_line_that_is_not_utf8_or_no_object_is_named(tmp_path: Path) -> None:
    path = tmp_path / "a.jsonl"
    path.write_bytes(b'{"input": "\xff"}\n"text"\n' + b"[" * 100_000 + b"\n")
    reasons = [str(bad) for bad in read(path)]
    assert reasons[0].startswith(f"{path}:1: not UTF-8")
    assert reasons[1] == f"{path}:2: a record is an object, this is text"
    assert "malformed JSON" in reasons[2]


def test_a_table_that_is_not_utf8_is_an_input_error(tmp_path: Path) -> None:
    path = tmp_path / "a.csv"
    path.write_bytes(b"task,input,output\ngrammar,\xff,x\n")
    with pytest.raises(DataError, match="not UTF-8"):
        read(path)
