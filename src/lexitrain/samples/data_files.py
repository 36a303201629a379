"""The files of a data folder that a run reads: their size and hash, and whether they are those that were prepared.

Costs one hash of the files at every start of a run.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from lexitrain.errors import DataError
from lexitrain.records import REPORT, TRAIN, VALIDATION, file_name, split_file
from lexitrain.storage import file_sha256


def file_facts(folder: Path) -> dict[str, dict[str, Any]]:
    """Size and SHA-256 of the files that a run reads.

    Raises:
        DataError: the folder or its train.jsonl is missing, or a file is not the one that report.json beside it
            describes.
    """
    if not split_file(folder, TRAIN).is_file():
        raise DataError(
            f"There is no {file_name(TRAIN)} here."
            if folder.is_dir()
            else "This is a file, not a folder of prepared data."
            if folder.is_file()
            else "There is no such data folder.",
            where=folder,
            fix="Make one with: lexitrain data prepare FILES --out DIR",
        )
    facts: dict[str, dict[str, Any]] = {}
    for split in (TRAIN, VALIDATION):
        path = split_file(folder, split)
        if path.is_file():
            facts[path.name] = {"bytes": path.stat().st_size, "sha256": file_sha256(path)}
    _check_report(folder / REPORT, facts)
    return facts


def _check_report(file: Path, facts: Mapping[str, Mapping[str, Any]]) -> None:
    """Raises DataError where the files are not those that a report of `data prepare` beside them describes."""
    try:
        told = json.loads(file.read_bytes())["splits"]
        described = {split: told[split]["sha256"] for split in (TRAIN, VALIDATION)}
    except (OSError, ValueError, KeyError, TypeError):
        return  # no report, or not one of ours
    for split, digest in described.items():
        found = facts.get(file_name(split))
        if found is None or found["sha256"] != digest:
            raise DataError(
                f"{file_name(split)} is {'gone' if found is None else f'not the file that {REPORT} describes'}: it was "
                "edited after it was prepared, or the folder was replaced or copied in part only.",
                where=file.parent,
                fix=f"Run `lexitrain data prepare` again; to train on edited files on purpose, delete {REPORT}.",
            )
