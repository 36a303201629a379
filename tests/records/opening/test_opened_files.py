from __future__ import annotations

import bz2
import gzip
import json
import lzma
from collections.abc import Callable
from pathlib import Path

import pytest

from lexitrain.errors import DataError, MissingExtra
from lexitrain.records.opening import compressed
from lexitrain.records.record import BadRecord
from tests.records.examples import RECORDS, ROWS, read, write

LINES = "\n".join(json.dumps(row, ensure_ascii=False) for row in ROWS)
TABLE = "task,input,output\nfluency,é,0.5\n"
M2 = "S é\n"


@pytest.mark.parametrize(
    ("ending", "pack"), [("gz", gzip.compress), ("bz2", bz2.compress), ("xz", lzma.compress)]
)
def test_packed_files(tmp_path: Path, ending: str, pack: Callable[[bytes], bytes]) -> None:
    path = tmp_path / f"a.jsonl.{ending}"
    path.write_bytes(pack(LINES.encode()))
    assert read(path) == RECORDS
    assert read(tmp_path) == RECORDS  # found in a folder
    path.write_bytes(pack(LINES.encode() * 99)[:-9])
    with pytest.raises(DataError, match="cannot be unpacked"):
        read(path)
    path.write_bytes(b"plain")
    with pytest.raises(DataError, match="cannot be unpacked"):
        read(path)


def test_zst_through_pyarrow(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    pyarrow = pytest.importorskip("pyarrow")
    path = tmp_path / "a.json.zst"
    path.write_bytes(pyarrow.compress(LINES.encode(), codec="zstd", asbytes=True))
    assert read(path) == RECORDS

    def absent(name: str) -> None:
        raise ImportError(name)

    monkeypatch.setattr(compressed, "import_module", absent)
    with pytest.raises(MissingExtra, match=r"lexitrain\[hub\]"):
        read(path)


def test_packed_parquet_is_not_read(tmp_path: Path) -> None:
    with pytest.raises(DataError, match=r"\.parquet\.gz"):
        read(write(tmp_path / "a.parquet.gz", ""))


@pytest.mark.parametrize("encoding", ["utf-16", "utf-32", "utf-8-sig"])
@pytest.mark.parametrize(
    ("name", "text"),
    [
        ("a.jsonl", LINES),
        ("a.json", json.dumps(ROWS)),
        ("a.csv", TABLE),
        ("a.tsv", TABLE.replace(",", "\t")),
        ("a.m2", M2),
    ],
)
def test_a_byte_order_mark_says_the_encoding(
    tmp_path: Path, name: str, text: str, encoding: str
) -> None:
    expected = read(write(tmp_path / name, text))
    assert expected
    assert not any(isinstance(record, BadRecord) for record in expected)
    (tmp_path / name).write_bytes(text.encode(encoding))
    assert read(tmp_path / name) == expected


@pytest.mark.parametrize(
    ("name", "text", "line"),
    [
        ("a.json", "[\n" + json.dumps({"input": "é"}, ensure_ascii=False) + "]", 2),
        ("a.csv", TABLE, 2),
        ("a.tsv", TABLE.replace(",", "\t"), 2),
        ("a.m2", "S a\n\nS é\n", 3),
    ],
)
def test_latin_1_is_refused_with_line_and_way_out(
    tmp_path: Path, name: str, text: str, line: int
) -> None:
    path = tmp_path / name
    path.write_bytes(text.encode("latin-1"))
    with pytest.raises(DataError, match="not UTF-8") as caught:
        read(path)
    assert caught.value.where == f"{path}:{line}"
    assert "iconv" in str(caught.value.fix)
    path.write_bytes(text.encode("utf-16-le"))
    with pytest.raises(DataError, match="zero bytes") as caught:
        read(path)
    assert "iconv -f UTF-16LE" in str(caught.value.fix)


def test_a_line_that_is_not_utf_8_is_one_bad_record(tmp_path: Path) -> None:
    path = tmp_path / "a.jsonl"
    path.write_bytes(LINES.encode() + b'\n{"input": "caf\xe9"}')
    *good, bad = read(path)
    assert good == RECORDS
    assert f"a.jsonl:{len(ROWS) + 1}: not UTF-8" in str(bad)
    assert "iconv" in str(bad)
