"""A grammar for each task beside an export: GBNF for llama.cpp, JSON Schema for others, and one for all tasks."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING

from lexitrain.evaluation import answer_gbnf, chosen_gbnf, schema_of
from lexitrain.storage import write_file

if TYPE_CHECKING:
    from lexitrain.tasks import Task

FOLDER = "grammars"
ANY = "any-task"


def write_grammars(folder: Path, tasks: Mapping[str, Task]) -> list[Path]:
    """Write `grammars/<task>.gbnf` and `.schema.json`, and the same for an answer to any of the tasks.

    Raises:
        TaskError: no answer can satisfy a task's schema.
        OSError: as of the disk.
    """
    files: dict[str, str] = {}
    for name, task in tasks.items():
        files[f"{name}.gbnf"] = answer_gbnf(task)
        files[f"{name}.schema.json"] = _json(schema_of(task))
    if len(tasks) > 1:
        files[f"{ANY}.gbnf"] = chosen_gbnf(tasks)
        files[f"{ANY}.schema.json"] = _json({"anyOf": [schema_of(each) for each in tasks.values()]})
    written: list[Path] = []
    for name, content in files.items():
        path = folder / FOLDER / name
        write_file(path, content.encode())
        written.append(path)
    return written


def _json(content: object) -> str:
    return json.dumps(content, ensure_ascii=False, indent=2) + "\n"
