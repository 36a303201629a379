"""`python -m benchmarks.compare`: the comparison on this machine's CPU; saves `results/compare_cpu.json`."""

from __future__ import annotations

import argparse
import json
import sys
import time
from dataclasses import replace
from typing import Any

from benchmarks.compare.comparison import Comparison, Part
from benchmarks.compare.competitors import COMPETITORS
from benchmarks.compare.work import Work
from benchmarks.workload import RESULTS, circumstances, described_samples, rendered_samples

RESULT = RESULTS / "compare_cpu.json"

# Rounds and steps a round. The padded ones take ten times as long a step and vary little.
CPU = (
    Part("fast", 4, 5),
    Part("fast_row", 2, 2),
    Part("trl", 2, 1),
    Part("trl_same", 4, 5),
    Part("trainer", 2, 1),
    Part("notebook", 1, 1),
    Part("slow", 1, 1),
)


def document(comparison: Comparison, samples_taken: int) -> dict[str, Any]:
    """Run, and say on what and with what."""
    start = time.perf_counter()
    found = comparison.run()
    return {
        "what": "training speed, peak memory of a step over the resting model, and losses; one process each, in turns",
        **circumstances("trl", "accelerate", "datasets", "liger-kernel", "unsloth"),
        "samples": described_samples(rendered_samples(comparison.work.data)[:samples_taken]),
        **found,
        "seconds": round(time.perf_counter() - start, 1),
    }


def show(found: dict[str, Any]) -> None:
    """Print a table."""
    print(f"{'':16} {'samples/s':>10} {'tokens/s':>9} {'s a step':>9} {'peak MB':>9} {'loss':>9}")
    for name, row in found["competitors"].items():
        if "failed" in row:
            print(f"{name:16} failed: {row['failed']}")
            continue
        print(
            f"{name:16} {row['samples_per_second']:10.3f} {row['supervised_tokens_per_second']:9.1f} "
            f"{row['step_seconds']:9.2f} {row['peak_activation_mb']:9.0f} {row['losses'][-1]:9.4f}"
        )
    for name, ratio in found["ratios"].items():
        print(name, json.dumps(ratio))
    for name, losses in found["losses"].items():
        print(name, json.dumps(losses))


def chosen_parts(names: list[str]) -> list[Part]:
    """The parts of these competitors; one that is not in the table is timed in one step.

    Raises:
        SystemExit: a name that nobody has.
    """
    unknown = [name for name in names if name not in COMPETITORS]
    if unknown:
        sys.exit(f"No competitor {', '.join(unknown)}. There are: {', '.join(COMPETITORS)}")
    usual = {part.name: part for part in CPU}
    return [usual.get(name, Part(name, 1, 1)) for name in names]


def main() -> None:
    """Compare, print, save; `--quick` takes few steps of a tiny model and saves nothing."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--quick", action="store_true", help="a tiny model, not saved")
    parser.add_argument("--only", default="", help="competitors, comma-separated; not saved")
    chosen = parser.parse_args()
    parts = chosen_parts(chosen.only.split(",")) if chosen.only else list(CPU)
    if chosen.quick:
        parts = [replace(part, rounds=1, steps=1) for part in parts]
    work = Work(shape="tiny") if chosen.quick else Work()
    found = document(Comparison(work, parts), work.steps * 24)
    show(found)
    failed = [name for name, row in found["competitors"].items() if "failed" in row]
    if failed:
        sys.exit(f"Not saved, because of: {', '.join(failed)}")
    if not (chosen.quick or chosen.only):
        RESULT.write_text(json.dumps(found, indent=2) + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
