"""Where rows come from: JSONL, JSON arrays, CSV, Parquet, M2 files, folders of them, and data sets of the Hub.

Everything streams. A source is read in chunks of about a megabyte; JSONL chunks stay raw bytes, so that parsing,
the dear part, can happen in another process. Rows carry their line (for tables without lines, their row number),
because a bad record is reported by its place.
"""

from __future__ import annotations

import csv
import json
import os
import re
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, field
from datetime import date, time
from decimal import Decimal
from importlib import import_module
from itertools import islice
from pathlib import Path
from typing import Any, cast

from lexitrain.errors import InputError, MissingExtra
from lexitrain.records.m2 import m2_rows
from lexitrain.storage.disk_errors import disk_errors

CHUNK_BYTES = 1 << 20
_CHUNK_ROWS = 1024
_LARGEST_ELEMENT = 64 << 20  # characters of one element of a JSON array
_NO_RECORDS = frozenset(
    ("report.json", "dataset_info.json", "dataset_infos.json", "dataset_dict.json", "state.json")
)
"""Files beside the records of a folder that say something about them."""
_CONFIGURED = re.compile(
    r"---\s*\n(?:.*\n)*?configs:"
)  # the card of a data set that names its files
_HUB_ID = re.compile(r"[\w-][\w.-]*/[\w-][\w.-]*")

_NO_OBJECT = "a record is an object, this is text"

NumberedRow = tuple[int, Any]  # line, parsed row; a str stands for the reason why it is none


@dataclass(frozen=True, slots=True)
class Chunk:
    """A piece of a source: raw lines from `first_line` on, or parsed rows.

    Attributes:
        file: the source as the user named it.
        size: bytes of the source up to the end of this chunk, for progress; 0 where unknown.
    """

    file: str
    size: int
    first_line: int = 1
    lines: bytes | None = None
    rows: list[NumberedRow] = field(default_factory=list[NumberedRow])

    def parsed(self) -> Iterator[NumberedRow]:
        """`(line, row)` of every row; a row that does not parse is its reason as text. Empty lines are skipped."""
        if self.lines is None:
            yield from self.rows
            return
        for number, line in enumerate(self.lines.split(b"\n"), start=self.first_line):
            if line and not line.isspace():
                yield number, _parsed(line)


def _parsed(line: bytes) -> Any:
    try:
        row = json.loads(line.decode())
    except UnicodeDecodeError as error:
        return f"not UTF-8 (byte {error.start + 1})"
    except (ValueError, RecursionError) as error:
        return f"malformed JSON ({error})"
    return _NO_OBJECT if isinstance(row, str) else row


def chunks(source: str) -> Iterator[Chunk]:
    """The chunks of one source, in order: a file by its ending, a folder, an `owner/name` through `datasets`.

    Raises:
        InputError: no such file or data set, or a kind of file that is not read.
        MissingExtra: Parquet and Hub data sets need the extra `hub`.
    """
    path = Path(source)
    with disk_errors(path):
        if path.is_dir():
            if _is_data_set(path):
                return _hub_chunks(source)
            files, _ = _files_below(path)
            return (chunk for file in files for chunk in chunks(str(file)))
        exists = path.exists()
    if not exists:
        if _HUB_ID.fullmatch(source) and path.suffix not in _READERS and not path.parent.exists():
            return _hub_chunks(source)
        raise InputError(
            "There is no such file or folder.",
            where=source,
            fix="Check the name; a data set of the Hub is given as owner/name.",
        )
    reader = _READERS.get(path.suffix.lower())
    if reader is None:
        raise InputError(
            f"Files ending in {path.suffix or 'nothing'!r} are not read.",
            where=source,
            fix=f"Use one of: {', '.join(_READERS)}.",
        )
    return _legible(reader(path, source), path)


def expanded(sources: Iterable[str], out: Path) -> tuple[list[str], list[str]]:
    """The sources with every folder of files replaced by those files, and what in the folders is not read.

    A folder is read to its depths in the order of the names, hidden files and folders aside. One that `datasets` saved,
    or whose card names its files (`configs:`), stays one source. What lies in `out`, below such a folder, is the result
    of an earlier call and no source.

    Raises:
        InputError: a folder holds no file that is read.
    """
    found: list[str] = []
    left: list[str] = []
    for source in sources:
        path = Path(source)
        with disk_errors(path):
            whole = not path.is_dir() or _is_data_set(path)
        files, others = ([source], []) if whole else _files_below(path, out.absolute())
        found += map(str, files)
        left += map(str, others)
    return found, left


def _is_data_set(folder: Path) -> bool:
    """Whether a folder is to be read by `datasets`: it saved it, or the card says which files are which."""
    if _is_saved(folder):
        return True
    card = folder / "README.md"
    text = card.read_text(encoding="utf-8", errors="replace") if card.is_file() else ""
    return _CONFIGURED.match(text.partition("\n---\n")[0] + "\n") is not None


def _is_saved(folder: Path) -> bool:
    return any((folder / name).is_file() for name in ("dataset_dict.json", "state.json"))


def _files_below(folder: Path, spared: Path | None = None) -> tuple[list[Path], list[Path]]:
    """The files below a folder that hold records, and the others; raises InputError where there are none to read."""
    files: list[Path] = []
    others: list[Path] = []
    for root, folders, names in os.walk(folder):
        folders[:] = (
            name
            for name in folders
            if not name.startswith(".") and (Path(root) / name).absolute() != spared
        )
        for name in names:
            path = Path(root) / name
            if not name.startswith("."):
                known = path.suffix.lower() in _READERS and name not in _NO_RECORDS
                (files if known else others).append(path)
    if not files:
        raise InputError(
            "No file in this folder is read.",
            where=folder,
            fix=f"Records are read from files ending in one of: {', '.join(_READERS)}.",
        )
    return sorted(files), sorted(others)


def _legible(found: Iterator[Chunk], path: Path) -> Iterator[Chunk]:
    """The chunks, with what the disk refuses turned into an error meant for the user."""
    with disk_errors(path):
        yield from found


def source_bytes(source: str) -> int:
    """Size of a source in bytes, 0 where unknown."""
    path = Path(source)
    with disk_errors(path):
        return path.stat().st_size if path.is_file() else 0


def _jsonl_chunks(path: Path, name: str) -> Iterator[Chunk]:
    with path.open("rb") as file:
        first, read = 1, 0
        file.seek(3 if file.read(3) == b"\xef\xbb\xbf" else 0)  # a byte order mark
        while piece := file.read(CHUNK_BYTES):
            piece += file.readline()
            read += len(piece)
            yield Chunk(name, read, first, piece)
            first += piece.count(b"\n")


def _json_chunks(path: Path, name: str) -> Iterator[Chunk]:
    """A JSON array; a file that is one object a line in spite of its name is read as such."""
    with path.open("rb") as file:
        start = file.read(4096).lstrip(b"\xef\xbb\xbf \t\r\n")[:1]
    if start != b"[":
        return _jsonl_chunks(path, name)
    return _row_chunks(lambda: _array_rows(path, name), name)


def _array_rows(path: Path, name: str) -> Iterator[NumberedRow]:
    """The elements of a JSON array, without ever holding more than the one being read."""
    decoder = json.JSONDecoder()
    with path.open(encoding="utf-8-sig") as file:
        text, place, line, piece = file.read(CHUNK_BYTES), 0, 1, CHUNK_BYTES
        place = text.index("[") + 1
        line += text.count("\n", 0, place)
        while True:
            start = _skip(text, place)
            line += text.count("\n", place, start)
            if text[start : start + 1] == "]":
                _refuse_more(text[start + 1 :] + file.read(_LARGEST_ELEMENT), name, line)
                return
            row: Any = None
            try:
                row, place = decoder.raw_decode(text, start)
                complete, reason = (
                    place < len(text),
                    "it does not end",
                )  # a number may go on in the next piece
            except (ValueError, RecursionError) as error:
                complete, reason = False, str(error)
            if complete:
                yield line, _NO_OBJECT if isinstance(row, str) else row
                line += text.count("\n", start, place)
                piece = CHUNK_BYTES
                continue
            more = file.read(piece) if len(text) - start < _LARGEST_ELEMENT else ""
            if not more:
                raise InputError(
                    f"This is no JSON array from here on: {reason}.",
                    where=f"{name}:{line}",
                    fix="Mend the file there, or write one record a line (JSONL).",
                )
            text, place = text[start:] + more, 0
            piece *= 2  # an element longer than a piece is then still read in linear time


def _refuse_more(rest: str, name: str, line: int) -> None:
    """Two arrays in one file, say, of which the second would be lost without a word."""
    if rest.strip():
        raise InputError(
            "The JSON array ends here, and something follows it.",
            where=f"{name}:{line}",
            fix="Make it one array, or write one record a line (JSONL).",
        )


def _skip(text: str, place: int) -> int:
    while place < len(text) and text[place] in " \t\r\n,":
        place += 1
    return place


def _csv_rows(path: Path) -> Iterator[NumberedRow]:
    csv.field_size_limit(_LARGEST_ELEMENT)
    with path.open(encoding="utf-8-sig", newline="") as file:
        reader = csv.DictReader(
            file, dialect="excel-tab" if path.suffix.lower() == ".tsv" else "excel"
        )
        line = 2
        rows = iter(reader)
        while True:
            try:
                row = next(rows)
            except StopIteration:
                return
            except csv.Error as error:
                yield reader.line_num, f"malformed CSV ({error})"
            else:
                cells = cast("dict[str | None, Any]", row)
                yield line, "more cells than the header has columns" if None in cells else row
            line = reader.line_num + 1


def _m2_rows(path: Path) -> Iterator[NumberedRow]:
    with path.open(encoding="utf-8-sig") as file:
        yield from m2_rows(file)


def _parquet_rows(path: Path, name: str) -> Iterator[NumberedRow]:
    try:
        parquet: Any = import_module("pyarrow.parquet")
    except ImportError:
        raise MissingExtra("pyarrow", "hub") from None
    try:
        number = 0
        with parquet.ParquetFile(path) as file:
            for batch in file.iter_batches(batch_size=_CHUNK_ROWS):
                for row in batch.to_pylist():
                    number += 1
                    yield number, _without_nulls(row)
    except (ValueError, OSError) as error:  # pyarrow's own errors are both
        raise InputError(
            f"This Parquet file cannot be read ({error}).",
            where=name,
            fix="Write it again, or bring the records as JSONL.",
        ) from None


def _hub_rows(name: str) -> Iterator[tuple[str, int, Any]]:
    """`(split, row number, row)` of every split of a data set: a Hub id, or a folder that `_is_data_set`."""
    try:
        datasets: Any = import_module("datasets")
    except ImportError:
        raise MissingExtra("datasets", "hub") from None
    try:
        if _is_saved(Path(name)):
            found: Any = datasets.load_from_disk(name)
        else:
            found = datasets.load_dataset(name, streaming=True)
        by_split = cast("dict[Any, Any]", found if isinstance(found, dict) else {"train": found})
        for split, rows in by_split.items():
            for number, row in enumerate(rows, start=1):
                yield str(split), number, _without_nulls(row)
    except (
        Exception
    ) as error:  # the library has no common error; whatever it was, this source cannot be read
        raise InputError(
            f"`datasets` cannot read this data set ({type(error).__name__}: {str(error).splitlines()[0][:200]}).",
            where=name,
            fix="Check the id and the network, or name the files themselves.",
        ) from None


def _hub_chunks(name: str) -> Iterator[Chunk]:
    rows = _hub_rows(name)
    split, held = "", list[NumberedRow]()
    for of_split, number, row in rows:
        if of_split != split or len(held) == _CHUNK_ROWS:
            if held:
                yield Chunk(f"{name}[{split}]", 0, rows=held)
            split, held = of_split, []
        held.append((number, row))
    if held:
        yield Chunk(f"{name}[{split}]", 0, rows=held)


def _without_nulls(row: Any) -> Any:
    """Tables give every row every column: a null there means that the row lacks the field."""
    if isinstance(row, dict):
        fields = cast("dict[str, Any]", row)
        return {key: _without_nulls(value) for key, value in fields.items() if value is not None}
    if isinstance(row, list):
        return [_without_nulls(value) for value in cast("list[Any]", row)]
    return row if isinstance(row, str | int | float | None) else _as_json(row)


def _as_json(cell: Any) -> Any:
    """A cell of a type that JSON lacks: dates as ISO text, decimals as numbers, bytes by their size, others as text."""
    if isinstance(cell, date | time):
        return cell.isoformat()
    if isinstance(cell, Decimal):
        return float(cell)
    if isinstance(cell, bytes | bytearray):
        return f"{len(cell)} bytes"
    return str(cell)


def _row_chunks(rows: Callable[[], Iterable[NumberedRow]], name: str) -> Iterator[Chunk]:
    try:
        found = iter(rows())
        while held := list(islice(found, _CHUNK_ROWS)):
            yield Chunk(name, 0, rows=held)
    except UnicodeDecodeError as error:
        raise InputError(
            f"This file is not UTF-8 (byte {error.start + 1} of a piece).",
            where=name,
            fix="Save it as UTF-8; spreadsheets call it `CSV UTF-8`.",
        ) from None


_READERS: dict[str, Callable[[Path, str], Iterator[Chunk]]] = {
    ".jsonl": _jsonl_chunks,
    ".ndjson": _jsonl_chunks,
    ".json": _json_chunks,
    ".csv": lambda path, name: _row_chunks(lambda: _csv_rows(path), name),
    ".tsv": lambda path, name: _row_chunks(lambda: _csv_rows(path), name),
    ".parquet": lambda path, name: _row_chunks(lambda: _parquet_rows(path, name), name),
    ".m2": lambda path, name: _row_chunks(lambda: _m2_rows(path), name),
}
