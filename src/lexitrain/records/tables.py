"""Reading tables: Parquet, and what any table's cells are in JSON.

Tables hold what JSON does not: a cell for every column in every row, dates, decimals, bytes. `as_json` brings a row
back to what the same record would be in JSON. Rows are read a thousand at a time.
"""

from __future__ import annotations

from collections.abc import Iterator
from datetime import date, time
from decimal import Decimal
from importlib import import_module
from pathlib import Path
from typing import Any, cast

from lexitrain.errors import DataError, MissingExtra
from lexitrain.records.chunk import CHUNK_ROWS, NumberedRow
from lexitrain.records.rows import FORM_KEYS


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
                    yield number, row_as_json(row)
    except (ValueError, OSError) as error:  # pyarrow's own errors are both
        raise DataError(
            f"This Parquet file cannot be read ({error}).",
            where=name,
            fix="Write it again, or bring the records as JSONL.",
        ) from None


_MAY_BE_EMPTY = ("input", "output", "completion")


def row_as_json(row: dict[str, Any]) -> dict[str, Any] | str:
    """A row of a table as JSON would hold it, or the reason why it cannot be had.

    An empty cell of an answer stays one: its row is dropped and counted, and no fault of the file's form. Pictures,
    sounds and bytes among what is learnt are a reason; elsewhere they are metadata.
    """
    for key in FORM_KEYS & row.keys():
        if key != "metadata" and (found := _foreign(row[key])):
            return f"{key} holds {found}, which is no text"
    empty = {key: "" for key in _MAY_BE_EMPTY if key in row and row[key] is None}
    return as_json(row) | empty


def _foreign(value: Any) -> str | None:
    """What a value holds that no text can say, by the name of its type."""
    if isinstance(value, dict):
        value = list(cast("dict[str, Any]", value).values())
    if isinstance(value, list):
        return next(filter(None, map(_foreign, cast("list[Any]", value))), None)
    known = value is None or isinstance(value, str | int | float | date | time | Decimal)
    return None if known else type(value).__name__


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
