"""GLEU and edits on JFLEG's test split: the unchanged sentences, and each person's correction against the others'.

    python -m benchmarks.jfleg

Published for the test split (Napoles et al. 2017): 40.5 for the unchanged sentences against all four references, 62.4
for people, each against the other three. The PyPI package `gleu` computes the same besides. Reads
`../shared/data/real/grammar_jfleg.jsonl`; a minute on one core.
"""

from __future__ import annotations

import argparse
import json
import random
import subprocess
import sys
import tempfile
from importlib.metadata import version
from pathlib import Path
from typing import Any

import numpy as np

from benchmarks.mixture import REAL_DATA
from benchmarks.race import machine
from lexitrain.records import Record
from lexitrain.records.prepared import read_split
from lexitrain.tasks import registry

RESULT = Path(__file__).parent / "results" / "jfleg.json"
PUBLISHED = {"unchanged": 40.5, "people": 62.4}


def split_of_test(folder: Path = REAL_DATA) -> list[Record]:
    """The records of the test split."""
    return [r for r in read_split(folder / "grammar_jfleg.jsonl") if r.metadata["split"] == "test"]


def scores(
    records: list[Record], answers: list[str], without: int | None = None
) -> dict[str, float]:
    """GLEU and edit scores, in percent, of answers against the references but number `without`."""
    held = []
    for record in records:
        references = [r for n, r in enumerate(record.metadata["references"]) if n != without]
        metadata = {**record.metadata, "references": references}
        held.append(
            Record("grammar", record.input, {"corrected": references[0], "errors": []}, metadata)
        )
    said = [{"corrected": text, "errors": []} for text in answers]
    found = registry()["grammar"].scores(held, said)
    return {name: round(100 * value, 2) for name, value in found.items() if value is not None}


def oracle(records: list[Record], answers: list[str], without: int | None = None) -> float:
    """GLEU by the package `gleu`, in percent; its own 500 random draws of references, seed 0."""
    with tempfile.TemporaryDirectory() as folder:
        place = Path(folder)
        _lines(place / "source", [record.input for record in records])
        _lines(place / "answers", answers)
        count = len(records[0].metadata["references"])
        chosen = [n for n in range(count) if n != without]
        for number in chosen:
            _lines(place / f"r{number}", [r.metadata["references"][number] for r in records])
        names = [str(place / f"r{number}") for number in chosen]
        program = Path(sys.executable).with_name("gleu")
        command = [
            str(program),
            "-s",
            str(place / "source"),
            "-r",
            *names,
            "-o",
            str(place / "answers"),
        ]
        done = subprocess.run(command, check=True, capture_output=True, text=True)
    return float(done.stdout.split()[-1])


def _lines(path: Path, texts: list[str]) -> None:
    path.write_text("".join(" ".join(text.split()) + "\n" for text in texts), encoding="utf-8")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--out", type=Path, default=RESULT)
    arguments = parser.parse_args()
    random.seed(0)
    records = split_of_test()
    unchanged = [record.input for record in records]
    people: list[dict[str, Any]] = []
    for number in range(4):
        answers = [record.metadata["references"][number] for record in records]
        people.append(
            {**scores(records, answers, number), "gleu_by_oracle": oracle(records, answers, number)}
        )
    document = {
        "command": "python -m benchmarks.jfleg",
        "sentences": len(records),
        "published_gleu": PUBLISHED,
        "unchanged": {**scores(records, unchanged), "gleu_by_oracle": oracle(records, unchanged)},
        "people": people,
        "people_mean_gleu": round(float(np.mean([each["gleu"] for each in people])), 2),
        "people_mean_gleu_by_oracle": round(
            float(np.mean([each["gleu_by_oracle"] for each in people])), 2
        ),
        "machine": {**machine(), "gleu": version("gleu")},
    }
    arguments.out.write_text(json.dumps(document, indent=2) + "\n", encoding="utf-8")
    print(json.dumps(document, indent=2))


if __name__ == "__main__":
    main()
