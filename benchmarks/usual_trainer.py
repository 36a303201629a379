"""The usual trainer's memory, foreseen and measured on a CPU: `python -m benchmarks.usual_trainer`.

The Transformers Trainer takes one step in each of three configurations (`trainer`: recipe `fast` padded to the longest
of four; `notebook` and `slow`: the team's, padded to their full length with recomputation) on two shapes, each in a
process of its own, as in `benchmarks.compare`. Of each: the peak of a step over the resting model, as `plan --engine
trainer` rehearses it and as `benchmarks/compare/memory.py` counted it.
"""

from __future__ import annotations

import argparse
import json
from typing import Any

from benchmarks.compare.comparison import Worker
from benchmarks.compare.competitors import COMPETITORS, Competitor
from benchmarks.compare.work import SHAPES, Work
from benchmarks.workload import RESULTS, STEP_SAMPLES, circumstances
from lexitrain.planning.rehearsal.cut_shape import CutShape
from lexitrain.planning.rehearsal.rehearse import rehearse
from lexitrain.planning.rehearsal.target import Target

RESULT = RESULTS / "usual_trainer.json"
NAMES = ("trainer", "notebook", "slow")
PLACES = ("tiny", "cpu")
TARGET = Target("cpu", "fp32", "dense", "trainer")


def cuts_of(work: Work, competitor: Competitor) -> list[CutShape]:
    """The micro-batches of the step that is measured, the first, padded as the competitor's collator pads."""
    recipe = work.recipe(competitor)
    micro = recipe.step.micro_batch if isinstance(recipe.step.micro_batch, int) else 4
    lengths = [len(sample) for sample in work.samples_of(0, competitor)]
    parts = [lengths[start : start + micro] for start in range(0, STEP_SAMPLES, micro)]
    full = competitor.padding == "max_length"
    rows = [(len(part), recipe.data.max_length if full else max(part)) for part in parts]
    return [CutShape(count, length, count * length) for count, length in rows]


def foreseen(work: Work, competitor: Competitor) -> int:
    """Bytes at the peak over the resting model: without weights, adapter and, in the first step, optimizer state."""
    recipe = work.recipe(competitor)
    cuts = cuts_of(work, competitor)
    memory = rehearse(SHAPES[work.shape].architecture(), recipe, TARGET, cuts).memory
    return memory.peak - memory.weights - memory.adapter - memory.optimizer


def measured(work: Work, name: str) -> int:
    """The same, of a real step in a process of its own.

    Raises:
        RuntimeError: the step failed.
    """
    worker = Worker(name, work)
    found = worker.turn(1, memory=True)
    worker.stop()
    if worker.failed:
        raise RuntimeError(worker.failed)
    return int(found["peak_bytes"])


def compared(shape: str, name: str, data: str) -> dict[str, Any]:
    """One configuration on one shape."""
    work = Work(shape=shape, steps=2, data=data)
    before, after = foreseen(work, COMPETITORS[name]), measured(work, name)
    return {
        "shape": shape,
        "configuration": name,
        "foreseen_bytes": before,
        "measured_bytes": after,
        "error": round(before / after - 1, 4),
    }


def main() -> None:
    """Measure all, print, save; `--quick` takes the tiny shape on generated records and saves nothing."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--quick", action="store_true", help="tiny, not saved")
    quick = parser.parse_args().quick
    rows = [
        compared(shape, name, "generated" if quick else "mixture")
        for shape in (PLACES[:1] if quick else PLACES)
        for name in NAMES
    ]
    for row in rows:
        print(f"{row['error']:+8.2%}  {row['shape']} {row['configuration']}")
    document = {
        "command": "python -m benchmarks.usual_trainer",
        "what": "peak bytes in use of a step of the Transformers Trainer over the resting model, foreseen and measured",
        **circumstances("accelerate"),
        "shapes": {name: SHAPES[name].described() for name in PLACES},
        "worst_error": max(abs(row["error"]) for row in rows),
        "rows": rows,
    }
    if not quick:
        RESULT.write_text(json.dumps(document, indent=1) + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
