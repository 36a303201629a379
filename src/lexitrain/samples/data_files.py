"""The files of a data folder that a run reads: what they are, and whether they are still those of its start.

Costs one hash of the files at every start of a run.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from lexitrain.errors import DataError, RunChanged
from lexitrain.preparation.pipeline import REPORT

if TYPE_CHECKING:
    from lexitrain.runs.folder import DataSummary

TRAIN = "train"
VALIDATION = "validation"


def file_facts(folder: Path) -> dict[str, dict[str, Any]]:
    """Size and SHA-256 of the files that a run reads.

    Raises:
        DataError: the folder or its train.jsonl is missing, or a file is not the one that report.json beside it
            describes.
    """
    if not (folder / "train.jsonl").is_file():
        raise DataError(
            "There is no train.jsonl here." if folder.is_dir() else "There is no such data folder.",
            where=folder,
            fix="Make it with: lexitrain data prepare FILES --out DIR",
        )
    facts: dict[str, dict[str, Any]] = {}
    for split in (TRAIN, VALIDATION):
        path = folder / f"{split}.jsonl"
        if path.is_file():
            facts[path.name] = {"bytes": path.stat().st_size, "sha256": file_sha256(path)}
    _check_report(folder / REPORT, facts)
    return facts


def file_sha256(path: Path) -> str:
    """SHA-256 of a file's content, in hexadecimal."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def _check_report(file: Path, facts: Mapping[str, Mapping[str, Any]]) -> None:
    """Raises DataError where the files are not those that a report of `data prepare` beside them describes."""
    try:
        told = json.loads(file.read_bytes())["splits"]
        described = {split: told[split]["sha256"] for split in (TRAIN, VALIDATION)}
    except (OSError, ValueError, KeyError, TypeError):
        return  # no report, or not one of ours
    for split, digest in described.items():
        found = facts.get(f"{split}.jsonl")
        if found is None or found["sha256"] != digest:
            raise DataError(
                f"{split}.jsonl is {'gone' if found is None else 'not the file that report.json describes'}: it was "
                "edited after it was prepared, or the folder was replaced or copied in part only.",
                where=file.parent,
                fix="Run `lexitrain data prepare` again; to train on edited files on purpose, delete report.json.",
            )


def data_differences(before: DataSummary, now: DataSummary) -> list[str]:
    """What differs in a way that changes training, as sentences. Where the folder lies does not matter."""
    differences = file_differences(before.files, now.files)
    if not differences and before.rendered_sha256 != now.rendered_sha256:
        differences.append(
            "the same records give other tokens (tokenizer, chat template, or a task's code changed)"
        )
    return differences


def other_data(differences: list[str], data_dir: Path) -> RunChanged:
    """The refusal to go on with other data."""
    return RunChanged(
        f"The run was started with other data: {'; '.join(differences)}.",
        where=data_dir,
        fix="Give the data it was started with, another --run folder, --fresh to start anew, or --accept-changes to go "
        "on with these from the newest checkpoint.",
    )


def file_differences(
    before: Mapping[str, Mapping[str, Any]], now: Mapping[str, Mapping[str, Any]]
) -> list[str]:
    """Files that are not those of before, with what differs."""
    return [
        f"{name} {_difference(before.get(name), now.get(name))}"
        for name in sorted(before.keys() | now.keys())
        if before.get(name) != now.get(name)
    ]


def _difference(before: Mapping[str, Any] | None, now: Mapping[str, Any] | None) -> str:
    if before is None or now is None:
        return "was not there before" if before is None else "is gone"
    return f"changed ({before.get('bytes')} bytes before, {now.get('bytes')} now, other SHA-256)"
