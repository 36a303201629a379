"""An evaluation as a document, and in the run folder: scores in `<name>.json`, answers in `<name>.answers.jsonl`."""

from __future__ import annotations

import hashlib
import json
from pathlib import Path
from typing import Any

from lexitrain.errors import InputError
from lexitrain.evaluation.evaluation import Evaluation
from lexitrain.evaluation.held_out import HeldOut
from lexitrain.evaluation.located_model import Subject
from lexitrain.runs.folder import Run
from lexitrain.storage.atomic import write_file


def document(subject: Subject, data: HeldOut, evaluation: Evaluation) -> dict[str, Any]:
    """What was evaluated, on what, and the scores."""
    return {
        "model": subject.name,
        "base": subject.model.base,
        "data": {
            "name": data.name,
            "file": str(data.file),
            "sha256": hashlib.sha256(data.file.read_bytes()).hexdigest(),
        },
        "trivial_from": str(data.train_file),
        **evaluation.to_json(),
    }


def save(run: Run, data: HeldOut, content: dict[str, Any], evaluation: Evaluation) -> Path:
    """Write scores and answers to the run's `evaluation/` and return the scores' path.

    A file of the same name with other records keeps its evaluation: the new one's name ends in the file's hash.

    Raises:
        OSError: the folder cannot be written to.
    """
    lines = [
        json.dumps(answered.to_json(), ensure_ascii=False) + "\n"
        for task in evaluation.tasks.values()
        for answered in task.answers
    ]
    name = data.name
    if _of_other_records(run, name, content):
        name += f"-{content['data']['sha256'][:8]}"
    write_file(run.evaluation / f"{name}.answers.jsonl", "".join(lines).encode())
    return run.write_evaluation(name, content)


def _of_other_records(run: Run, name: str, content: dict[str, Any]) -> bool:
    try:
        return run.read_evaluation(name)["data"]["sha256"] != content["data"]["sha256"]
    except (InputError, KeyError, TypeError):
        return False  # there is none, or none that could be compared
