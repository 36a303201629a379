"""Where records come from: files by their ending, folders of files, and data sets of the Hub.

Everything streams, in chunks. This module finds what there is to read; the readers of each kind of file are in
`json_files.py`, `tables.py`, `m2.py` and `datasets_reader.py`.
"""

from __future__ import annotations

import os
import re
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path

from lexitrain.errors import DataError
from lexitrain.records.chunk import Chunk, row_chunks
from lexitrain.records.datasets_reader import data_set_chunks, is_data_set
from lexitrain.records.delimited.csv_rows import csv_rows
from lexitrain.records.delimited.tsv_rows import tsv_rows
from lexitrain.records.json_files import json_chunks
from lexitrain.records.m2 import m2_file_rows
from lexitrain.records.opening.compressed import PACKED, kind_of_file
from lexitrain.records.prepared import REPORT
from lexitrain.records.tables import parquet_rows
from lexitrain.storage import disk_errors

_READERS: dict[str, Callable[[Path, str], Iterator[Chunk]]] = {
    ".jsonl": json_chunks,
    ".ndjson": json_chunks,
    ".json": json_chunks,
    ".csv": lambda path, name: row_chunks(lambda: csv_rows(path, name), name),
    ".tsv": lambda path, name: row_chunks(lambda: tsv_rows(path, name), name),
    ".parquet": lambda path, name: row_chunks(lambda: parquet_rows(path, name), name),
    ".m2": lambda path, name: row_chunks(lambda: m2_file_rows(path, name), name),
}
"""Ending -> the chunks of a file (path, the name that the user gave it)."""

_NO_RECORDS = frozenset(
    (REPORT, "dataset_info.json", "dataset_infos.json", "dataset_dict.json", "state.json")
)
"""Files beside the records of a folder that say something about them."""

_HUB_ID = re.compile(r"[\w-][\w.-]*/[\w-][\w.-]*")


def chunks(source: str) -> Iterator[Chunk]:
    """The chunks of one source, in order: a file by its ending, a folder, an `owner/name` through `datasets`.

    Raises:
        DataError: no such file or data set, or a kind of file that is not read.
        MissingExtra: Parquet and Hub data sets need the extra `hub`.
    """
    path = Path(source)
    with disk_errors(path):
        if path.is_dir():
            if is_data_set(path):
                return data_set_chunks(source)
            files, _ = _files_below(path)
            return (chunk for file in files for chunk in chunks(str(file)))
        exists = path.exists()
    if not exists:
        known = kind_of_file(path) in _READERS
        if _HUB_ID.fullmatch(source) and not known and not path.parent.exists():
            return data_set_chunks(source)
        raise DataError(
            "There is no such file or folder.",
            where=source,
            fix="Check the name; a data set of the Hub is given as owner/name.",
        )
    reader = _READERS.get(kind_of_file(path))
    if reader is None or (kind_of_file(path) == ".parquet" != path.suffix.lower()):
        raise DataError(
            f"Files ending in {''.join(path.suffixes[-2:]) or 'nothing'!r} are not read.",
            where=source,
            fix=f"Use one of: {', '.join(_READERS)}; all but Parquet may be packed ({', '.join(PACKED)}).",
        )
    return _legible(reader(path, source), path)


def expanded(sources: Iterable[str], out: Path) -> tuple[list[str], list[str]]:
    """The sources with every folder of files replaced by those files, and what in the folders is not read.

    A folder is read to its depths in the order of the names, hidden files and folders aside. One that `datasets` saved,
    or whose card names its files (`configs:`), stays one source. What lies in `out`, below such a folder, is the result
    of an earlier call and no source.

    Raises:
        DataError: a folder holds no file that is read.
    """
    found: list[str] = []
    left: list[str] = []
    for source in sources:
        path = Path(source)
        with disk_errors(path):
            whole = not path.is_dir() or is_data_set(path)
        files, others = ([source], []) if whole else _files_below(path, out.absolute())
        found += map(str, files)
        left += map(str, others)
    return found, left


def _files_below(folder: Path, spared: Path | None = None) -> tuple[list[Path], list[Path]]:
    """The files below a folder that hold records, and the others; raises DataError where there are none to read."""
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
                known = kind_of_file(path) in _READERS and name not in _NO_RECORDS
                (files if known else others).append(path)
    if not files:
        raise DataError(
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
