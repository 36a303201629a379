"""What longer shared instructions cost: `python -m benchmarks.shared_prompt`.

The same tokens are put in front of every prompt (rules, a style guide, a grading scheme) and a step of 24 samples is
timed by the product's own step, as a prefix tree and with the samples packed side by side, each in the cuts that it
takes.
"""

from __future__ import annotations

import json
import sys
import time
from typing import Any

from benchmarks.compare.competitors import ONE_ROW
from benchmarks.timing import built_step, timed
from benchmarks.workload import (
    CPU_SHAPE,
    RESULTS,
    TINY_SHAPE,
    Shape,
    circumstances,
    rendered_samples,
    step_samples,
    with_shared_prompt,
)
from lexitrain.samples.sample import Sample

RESULT = RESULTS / "shared_prompt.json"
EXTRA = (0, 256, 512)
_WARM_UP = 4
"""Samples of the step before the first packed one that is timed: a cut holds no more where prompts are long."""


def measure(
    shape: Shape,
    extra: tuple[int, ...],
    *,
    device: str = "cpu",
    dtype: Any = None,
    samples: list[Sample] | None = None,
) -> list[dict[str, Any]]:
    """A point for each number of extra tokens, on the same step, the longest first: the others find memory of its size.

    The tree's steps are short: the best of three is taken. Packed ones are timed once, after a short one of the longest
    samples. Without extra tokens the tree is timed in one row, too, as it mostly is with them.
    """
    samples = samples or rendered_samples()
    tree = built_step(shape, device=device, dtype=dtype)
    packed = built_step(shape, "step.layout=packed", device=device, dtype=dtype)
    timed(packed, [with_shared_prompt(step_samples(samples, 0)[:_WARM_UP], max(extra))])
    points: list[dict[str, Any]] = []
    for tokens in sorted(extra, reverse=True):
        work = [with_shared_prompt(step_samples(samples, 0), tokens)]
        point = {
            "extra_tokens": tokens,
            "tree": timed(tree, work, repeats=3),
            "packed": timed(packed, work),
        }
        points.insert(0, point)
    row = built_step(shape, *ONE_ROW, device=device, dtype=dtype)
    points[0]["one_row"] = timed(row, [step_samples(samples, 0)], repeats=3)
    for point in points:
        for layout in ("tree", "packed"):
            first = points[0][layout]
            point[layout]["over_none"] = round(
                point[layout]["step_seconds"] / first["step_seconds"], 3
            )
            point[layout]["tokens_over_none"] = round(
                point[layout]["layout_tokens"] / first["layout_tokens"], 3
            )
    return points


def main() -> None:
    """Measure, print and save; with `--tiny` a small shape and two points, which are not saved."""
    tiny = "--tiny" in sys.argv
    start = time.perf_counter()
    points = measure(TINY_SHAPE, (0, 64)) if tiny else measure(CPU_SHAPE, EXTRA)
    document = {
        "what": "seconds of a step of 24 samples with more tokens in front of every prompt, the same for all",
        **circumstances(),
        "shape": (TINY_SHAPE if tiny else CPU_SHAPE).described(),
        "points": points,
        "seconds": round(time.perf_counter() - start, 1),
    }
    for point in points:
        tree, packed = point["tree"], point["packed"]
        print(
            f"{point['extra_tokens']:6} tree {tree['step_seconds']:8.2f} s x {tree['over_none']:5.2f} "
            f"packed {packed['step_seconds']:8.2f} s x {packed['over_none']:5.2f}"
        )
    if not tiny:
        RESULT.write_text(json.dumps(document, indent=2) + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
