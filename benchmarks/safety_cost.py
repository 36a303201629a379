"""What safety costs of a step's time: `python -m benchmarks.safety_cost`.

One nano run with the demo's step (24 samples) and a mirror on the same disk, a checkpoint every 15 steps, without
validation. The time between two steps is measured; what all intervals take beyond their median is the cost of
everything that is not the step: journals, serializing, the writing and mirroring beside it. Divided by the number of
checkpoints and set against 150 steps it is the share at the default `checkpoints.every`.
"""

from __future__ import annotations

import json
import os
import platform
import tempfile
from datetime import UTC, datetime
from importlib.metadata import version
from pathlib import Path
from statistics import median
from time import perf_counter
from typing import Any

import torch

from lexitrain.recipe.yaml_file import load_recipe
from lexitrain.runs.folder import Run
from lexitrain.synthetic import generate
from lexitrain.training import Silent, train

RESULT = Path(__file__).parent / "results" / "safety_cost.json"
STEPS, EVERY, DEFAULT_EVERY = 150, 15, 150
LIMIT = 0.02


class Clock(Silent):
    """Notes when each step ends."""

    def __init__(self) -> None:
        self.times: list[float] = []

    def progress(self, progress: Any) -> None:  # noqa: ARG002
        self.times.append(perf_counter())


def measure(folder: Path) -> dict[str, Any]:
    """Train, and return the figures."""
    settings = [f"checkpoints.every={EVERY}", "schedule.epochs=1", "step.effective_batch=24"]
    recipe = load_recipe("demo", settings)
    (folder / "data").mkdir()
    lines = "".join(each.to_json() + "\n" for each in generate(STEPS * 24, seed=5))
    (folder / "data" / "train.jsonl").write_text(lines, encoding="utf-8")
    clock = Clock()
    train(recipe, folder / "data", folder / "run", mirror=folder / "drive", observer=clock)
    intervals = [end - start for start, end in zip(clock.times[4:], clock.times[5:], strict=False)]
    saved = [each for each in Run(folder / "run").events() if each.event == "checkpoint"]
    step = median(intervals)
    cost = (sum(intervals) - len(intervals) * step) / (len(intervals) / EVERY)
    return {
        "steps": len(intervals),
        "checkpoints": len(saved),
        "checkpoint_mb": round(saved[-1].details["bytes"] / 1e6, 2),
        "step_seconds": round(step, 4),
        "seconds_a_checkpoint": round(cost, 4),
        "background_write_seconds": round(median(each.details["seconds"] for each in saved), 4),
        "share_of_step_time_at_every_150": round(cost / (DEFAULT_EVERY * step), 5),
        "limit": LIMIT,
    }


def main() -> None:
    """Measure, print, save."""
    with tempfile.TemporaryDirectory() as folder:
        figures = measure(Path(folder))
    result = {
        "command": "python -m benchmarks.safety_cost",
        "date": datetime.now(UTC).date().isoformat(),
        "versions": {name: version(name) for name in ("torch", "transformers", "peft")},
        "machine": f"{platform.machine()}, {os.cpu_count()} cores, {torch.get_num_threads()} thread(s), CPU only",
        **figures,
    }
    RESULT.write_text(json.dumps(result, indent=2) + "\n", encoding="utf-8")
    print(json.dumps(figures, indent=2))
    assert figures["share_of_step_time_at_every_150"] <= LIMIT, "over the limit"


if __name__ == "__main__":
    main()
