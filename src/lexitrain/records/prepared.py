"""The prepared data folder: the files that `data prepare` writes and everything after it reads.

One file a split, `train.jsonl`, `validation.jsonl` and `test.jsonl`, a record a line as `Record.to_json` writes it, and
`report.json` with how they came about. Reading costs one JSON parse a line.
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any, cast

from lexitrain.errors import DataError
from lexitrain.records.record import ROLES, Record

TRAIN, VALIDATION, TEST = "train", "validation", "test"
SPLITS = (TRAIN, VALIDATION, TEST)

REPORT = "report.json"
"""What was read, what was dropped and why, and the SHA-256 of every split."""


def file_name(split: str) -> str:
    """The name of a split's file, such as `train.jsonl`."""
    return f"{split}.jsonl"


def split_file(folder: Path, split: str) -> Path:
    """The file of a split in a prepared folder; it need not exist."""
    return folder / file_name(split)


def read_split(path: Path) -> list[Record]:
    """All records of a prepared file, in order.

    Raises:
        DataError: the file is missing, or a line is not what `data prepare` writes; names `file:line`.
    """
    return list(iterate_split(path))


def iterate_split(path: Path) -> Iterator[Record]:
    """The records of a prepared file one by one, in order. Raises as `read_split`."""
    if not path.is_file():
        raise DataError(
            "This is a folder, not a file of records."
            if path.is_dir()
            else "There is no such file.",
            where=path,
            fix=f"Make {file_name(TRAIN)}, {file_name(VALIDATION)} and {file_name(TEST)} with: "
            "lexitrain data prepare",
        )
    with path.open("rb") as file:
        for number, line in enumerate(file, start=1):
            try:
                record = prepared_record(json.loads(line.decode()))
                if b"\\u" in line:
                    record.to_json().encode()  # half a surrogate pair would stop the tokenizer later
                yield record
            except (ValueError, KeyError, TypeError, RecursionError) as error:
                raise DataError(
                    f"This line is not a prepared record ({type(error).__name__}: {error}).",
                    where=f"{path}:{number}",
                    fix="Run `lexitrain data prepare` on raw records first.",
                ) from None


def prepared_record(fields: dict[str, Any]) -> Record:
    """The record of one prepared line. Raises ValueError, KeyError or TypeError when it is not one."""
    task, text, metadata = fields["task"], fields["input"], fields["metadata"]
    if not (isinstance(task, str) and isinstance(text, str) and isinstance(metadata, dict)):
        raise TypeError("task and input must be text, metadata an object")
    about = cast("dict[str, Any]", metadata)
    if "messages" in fields:
        return Record(task, text, None, about, tuple(_turn(turn) for turn in fields["messages"]))
    output = fields["output"]
    if not isinstance(output, dict | str):
        raise TypeError("output must be an object or text")
    return Record(task, text, cast("dict[str, Any] | str", output), about)


def _turn(turn: Any) -> dict[str, Any]:
    role, content = turn["role"], turn["content"]
    if role not in ROLES or not isinstance(content, str):
        raise TypeError(f"a turn has a role ({', '.join(ROLES)}) and a content of text")
    if len(turn) > 2 and (len(turn) > 3 or turn.get("weight") not in (0, 1)):
        raise TypeError("beside role and content a turn has nothing but a weight, 0 or 1")
    return cast("dict[str, Any]", turn)
