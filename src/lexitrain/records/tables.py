"""Reading tables: CSV, TSV and Parquet.

Tables hold what JSON does not: a cell for every column in every row, dates, decimals, bytes. `as_json` brings a row
back to what the same record would be in JSON. Rows are read one by one, of Parquet a thousand at a time.
"""

from __future__ import annotations

import csv
from collections.abc import Iterator
from datetime import date, time
from decimal import Decimal
from importlib import import_module
from pathlib import Path
from typing import Any, cast

from lexitrain.errors import DataError, MissingExtra
from lexitrain.records.chunk import CHUNK_ROWS, NumberedRow

_LARGEST_CELL = 64 << 20  # characters; the csv module's own limit is 128 kB


def csv_rows(path: Path) -> Iterator[NumberedRow]:
    """The rows of a CSV file, or of a TSV file by its ending, under the names in its first line."""
    csv.field_size_limit(_LARGEST_CELL)
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


def parquet_rows(path: Path, name: str) -> Iterator[NumberedRow]:
    """The rows of a Parquet file, numbered from 1.

    Raises:
        MissingExtra: pyarrow is not installed.
        DataError: the file is no Parquet file.
    """
    try:
        parquet: Any = import_module("pyarrow.parquet")
    except ImportError:
        raise MissingExtra("pyarrow", "hub") from None
    try:
        number = 0
        with parquet.ParquetFile(path) as file:
            for batch in file.iter_batches(batch_size=CHUNK_ROWS):
                for row in batch.to_pylist():
                    number += 1
                    yield number, as_json(row)
    except (ValueError, OSError) as error:  # pyarrow's own errors are both
        raise DataError(
            f"This Parquet file cannot be read ({error}).",
            where=name,
            fix="Write it again, or bring the records as JSONL.",
        ) from None


def as_json(row: Any) -> Any:
    """A row of a table, or a part of one, as JSON would hold it.

    Tables give every row every column: a null there means that the row lacks the field, so it is left out.
    """
    if isinstance(row, dict):
        fields = cast("dict[str, Any]", row)
        return {key: as_json(value) for key, value in fields.items() if value is not None}
    if isinstance(row, list):
        return [as_json(value) for value in cast("list[Any]", row)]
    return row if isinstance(row, str | int | float | None) else _cell_as_json(row)


def _cell_as_json(cell: Any) -> Any:
    """A cell of a type that JSON lacks: dates as ISO text, decimals as numbers, bytes by their size, others as text."""
    if isinstance(cell, date | time):
        return cell.isoformat()
    if isinstance(cell, Decimal):
        return float(cell)
    if isinstance(cell, bytes | bytearray):
        return f"{len(cell)} bytes"
    return str(cell)
