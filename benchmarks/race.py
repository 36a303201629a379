"""What the race of `lexitrain tune` finds on nano, in how many runs' time, and whether its early rungs are right.

    python -m benchmarks.race [--folder DIR] [--ranking] [--out FILE.json]

Makes the demo's data (10,000 generated records, 7,979 for training), times one whole run of the recipe `demo` as it was
before it took what was found here, and then runs the race that starts from it, with its default budget, in one worker.
Asked: a recipe with a validation loss of 0.230 at most, in the time of eight runs at most.

`--ranking` trains a dozen candidates to their end and compares two ways to judge them before it: at a fraction of their
whole schedule, which is what the race does, and by a schedule of their own over the same number of samples. Kept is
Spearman's correlation of each with the final losses; half an hour more. What was measured before is kept in the file
unless it is measured again.
"""

from __future__ import annotations

import argparse
import json
import math
import os
import platform
import tempfile
import time
from collections.abc import Sequence
from importlib.metadata import version
from pathlib import Path
from typing import Any

from lexitrain import generate_file, load_recipe, prepare, train, tune
from lexitrain.planning.devices.processor import processor
from lexitrain.runs import Run

RESULT = Path(__file__).parent / "results" / "race.json"
RECORDS, SEED = 10_000, 42
START = (
    *("optimizer.learning_rate=0.004", "lora.alpha=32"),
    *("step.effective_batch=24", "checkpoints.every=100"),
)
"""What `demo` was before it took what this race had found."""
MOST_LOSS, MOST_RUNS = 0.230, 8.0
_SHARES = (1 / 8, 1 / 4)
_RANKED = (
    (0.004, 2, 24), (0.002, 8, 24), (0.001, 8, 12), (0.002, 8, 12), (0.002, 4, 12), (0.001, 8, 24),
    (0.004, 4, 24), (0.004, 8, 24), (0.002, 4, 24), (0.004, 4, 12), (0.004, 8, 12), (0.008, 2, 24),
)  # fmt: skip
"""Learning rate, scale and samples a step of the candidates whose order is compared."""
_TASKS = ("fluency", "vocabulary", "grammar", "dialogue", "explanation")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--folder", type=Path, help="keeps all runs; goes on where it was stopped")
    parser.add_argument("--ranking", action="store_true", help="judge the rungs instead of racing")
    parser.add_argument("--out", type=Path, default=RESULT)
    arguments = parser.parse_args()
    with tempfile.TemporaryDirectory() as temporary:
        folder = arguments.folder or Path(temporary)
        data = demo_data(folder)
        measured = {"ranking": ranking(folder, data)} if arguments.ranking else race(folder, data)
    before = json.loads(arguments.out.read_text()) if arguments.out.is_file() else {}
    kept = {**before, "command": "python -m benchmarks.race", **measured, "machine": machine()}
    arguments.out.parent.mkdir(parents=True, exist_ok=True)
    arguments.out.write_text(json.dumps(kept, indent=2) + "\n", encoding="utf-8")
    print(json.dumps({name: each for name, each in kept.items() if name != "trials"}, indent=2))


def demo_data(folder: Path) -> Path:
    """The data of `lexitrain demo`, made once."""
    folder.mkdir(parents=True, exist_ok=True)
    data = folder / "data"
    if not data.is_dir():
        generate_file(folder / "records.jsonl", RECORDS, SEED)
        prepare([str(folder / "records.jsonl")], data, seed=SEED, workers=0)
    return data


def race(folder: Path, data: Path) -> dict[str, Any]:
    """Time a whole run of `demo`, then race from it."""
    start = time.monotonic()
    own = train(load_recipe("demo", START), data, folder / "demo")
    seconds = time.monotonic() - start
    if own.reason == "already_finished":
        seconds = json.loads((folder / "demo.json").read_text())["seconds"]
    else:
        (folder / "demo.json").write_text(json.dumps({"seconds": seconds}))
    found = tune("demo", data, folder / "race", overrides=START)
    best = found.best
    runs = 3600 * found.hours / seconds
    loss = math.inf if best is None else best.loss
    return {
        "limits": {"loss": MOST_LOSS, "runs": MOST_RUNS},
        "within_limits": loss <= MOST_LOSS and runs <= MOST_RUNS,
        "whole_run": {"seconds": round(seconds, 1), "loss": own.best_loss},
        "race": {
            "runs": round(runs, 2),
            "seconds": round(3600 * found.hours, 1),
            "best": None if best is None else dict(best.changes),
            "loss": loss,
            "baseline": None if best is None else best.baseline,
            "price": None if found.price is None else found.price.to_json(),
        },
        "trials": [each.to_json() for each in found.outcomes],
    }


def ranking(folder: Path, data: Path) -> dict[str, Any]:
    """How well each way to judge unfinished candidates orders them as their ends do."""
    rows = [_judged(folder, data, *each) for each in _RANKED]
    final = [row["final"] for row in rows]
    agreement = {
        way: {
            f"{share:g}": round(spearman([row[way][f"{share:g}"] for row in rows], final), 3)
            for share in _SHARES
        }
        for way in ("fraction_of_whole_schedule", "schedule_of_its_own")
    }
    return {"spearman_with_final_loss": agreement, "candidates": rows}


def _judged(folder: Path, data: Path, rate: float, scale: int, batch: int) -> dict[str, Any]:
    """Validation losses of one candidate: at its end, and by both ways at each share."""
    name = f"{rate:g}-{scale}-{batch}"
    settings = [
        f"optimizer.learning_rate={rate}", f"lora.alpha={16 * scale}", f"step.effective_batch={batch}",
        "log_every=100000",
    ]  # fmt: skip
    steps = math.ceil(7979 / batch)
    eighth = f"checkpoints.every={steps // 8}"
    whole = train(load_recipe("demo", [*settings, eighth]), data, folder / "ranking" / name)
    curve = {each.step: each.validation_loss for each in Run(whole.run).metrics()}
    row: dict[str, Any] = {
        "rate": rate,
        "scale": scale,
        "batch": batch,
        "final": whole.validation_loss,
    }
    row["fraction_of_whole_schedule"] = {
        f"{share:g}": curve[round(8 * share) * (steps // 8)] for share in _SHARES
    }
    row["schedule_of_its_own"] = {
        f"{share:g}": train(
            load_recipe(
                "demo",
                [
                    *settings,
                    f"data.task_weights={json.dumps(dict.fromkeys(_TASKS, share))}",
                    "checkpoints.every=10000",
                ],
            ),
            data,
            folder / "ranking" / f"{name}-{share:g}",
        ).validation_loss
        for share in _SHARES
    }
    return row


def spearman(one: Sequence[float], other: Sequence[float]) -> float:
    """Spearman's rank correlation of values without ties."""
    places = [{value: place for place, value in enumerate(sorted(each))} for each in (one, other)]
    squares = sum((places[0][a] - places[1][b]) ** 2 for a, b in zip(one, other, strict=True))
    count = len(one)
    return 1 - 6 * squares / (count * (count**2 - 1))


def machine() -> dict[str, Any]:
    """What it ran on, and with which versions."""
    return {
        "processor": processor(),
        "threads": os.environ.get("OMP_NUM_THREADS"),
        "python": platform.python_version(),
        **{
            name: version(name) for name in ("torch", "transformers", "peft", "optuna", "lexitrain")
        },
    }


if __name__ == "__main__":
    main()
