"""What nano learns: full evaluations with intervals, before and after training, on generated and on real records.

    python -m benchmarks.quality [--folder DIR] [--real 8000]

Trains the recipe `demo` once on the demo's generated records and once on real ones (`../shared/data/real`: a fixed
random part of each corpus, prepared; samples to 512 tokens), evaluates base and run on the whole test split of each,
and compares them. Some fifteen minutes on two idle cores; with --folder it goes on where it was stopped.
"""

from __future__ import annotations

import argparse
import json
import random
import tempfile
from pathlib import Path
from typing import Any

from benchmarks.mixture import REAL_DATA
from benchmarks.race import demo_data, machine
from lexitrain import compare, load_recipe, prepare, train

RESULT = Path(__file__).parent / "results" / "quality-nano.json"
SEED = 42
_REAL_SETTINGS = ("data.max_length=512",)


def real_data(folder: Path, records: int) -> Path:
    """Prepared real records, made once: of every corpus the same share, at least 70 records."""
    data = folder / "real-data"
    if data.is_dir():
        return data
    lines = {
        file: file.read_text(encoding="utf-8").splitlines()
        for file in sorted(REAL_DATA.glob("*.jsonl"))
    }
    share = records / sum(map(len, lines.values()))
    draw, sources = random.Random(SEED), []
    for file, rows in lines.items():
        count = min(len(rows), max(70, round(share * len(rows))))
        part = folder / file.name
        part.write_text("\n".join(draw.sample(rows, count)) + "\n", encoding="utf-8")
        sources.append(str(part))
    prepare(sources, data, seed=SEED, workers=0)
    return data


def learnt(folder: Path, data: Path, name: str, settings: tuple[str, ...] = ()) -> dict[str, Any]:
    """Train, evaluate before and after, compare."""
    result = train(load_recipe("demo", list(settings)), data, folder / name)
    found = compare(["nano", folder / name], data, out=folder / f"{name}-comparison")
    document = found.to_json()
    before, after = (each["evaluation"] for each in document["models"])
    kept = (
        "n",
        "learnt",
        "verdict",
        "primary",
        "json_validity",
        "schema_validity",
        "loss",
        "scores",
    )
    return {
        "settings": list(settings),
        "training_samples": found.costs[1].samples,
        "training_hours": found.costs[1].training_hours,
        "validation_loss": {"before": result.first_loss, "best": result.best_loss},
        "test_records": after["n"],
        "groups": after["groups"],
        "tasks": {
            task: {
                "base": {key: before["tasks"][task][key] for key in kept},
                "trained": {key: scores[key] for key in (*kept, "details", "confusion")},
                "difference": document["differences"][0]["tasks"].get(task),
            }
            for task, scores in after["tasks"].items()
        },
        "conversations": after["conversations"],
    }


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--folder", type=Path, help="keeps all runs; goes on where it was stopped")
    parser.add_argument("--real", type=int, default=8000, help="real records to prepare")
    parser.add_argument("--out", type=Path, default=RESULT)
    arguments = parser.parse_args()
    with tempfile.TemporaryDirectory() as temporary:
        folder = arguments.folder or Path(temporary)
        document = {
            "command": "python -m benchmarks.quality",
            "generated": learnt(folder, demo_data(folder), "generated"),
            "real": learnt(folder, real_data(folder, arguments.real), "real", _REAL_SETTINGS),
            "machine": machine(),
        }
    for side in ("generated", "real"):
        for task in document[side]["tasks"].values():
            if task["difference"]:
                task["difference"].pop("regressions")  # real records stay where they are
    arguments.out.write_text(json.dumps(document, indent=2) + "\n", encoding="utf-8")
    for side in ("generated", "real"):
        for name, task in document[side]["tasks"].items():
            p = (task["difference"] or {}).get("adjusted_p")
            print(f"{side} {name}: {task['trained']['verdict']} Against the base p = {p}")


if __name__ == "__main__":
    main()
