"""The same few records for every kind of source, and reading them back."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

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


def write(path: Path, text: str) -> Path:
    path.write_bytes(text.encode())
    return path


def read(path: Path | str) -> list[Record | BadRecord]:
    return list(read_records(path))


def as_table(row: dict[str, Any]) -> dict[str, str]:
    return row | {"output": json.dumps(row["output"], ensure_ascii=False)}
