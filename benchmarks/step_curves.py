"""How the cost of a step grows: `python -m benchmarks.step_curves`.

One thing is changed at a time, on the CPU workload cut to four layers so that it takes minutes: the length of samples,
the samples a step, the rank, the depth and the width. Lengths are changed as in `benchmarks/step_flops.py`: the text
after the common instruction and the answer, by repetition. Beside the tree stand, at each length, the packed and the
padded layout, which shows where the tree's advantage ends.
"""

from __future__ import annotations

import json
import sys
import time
from dataclasses import replace
from typing import Any

from benchmarks.step_flops import lengths_of, with_mean
from benchmarks.timing import built_step, timed
from benchmarks.workload import (
    CPU_SHAPE,
    RESULTS,
    STEP_SAMPLES,
    TINY_SHAPE,
    Shape,
    circumstances,
    rendered_samples,
    step_samples,
)
from lexitrain.samples.sample import Sample

RESULT = RESULTS / "step_curves.json"
CURVE_SHAPE = replace(CPU_SHAPE, layers=4)
LENGTHS = (80, 122, 300)
BATCHES = (6, 24, 96)
RANKS = (4, 16, 48)
DEPTHS = (2, 8)
WIDTHS = (384, 1024)


def by_length(
    shape: Shape, samples: list[Sample], lengths: tuple[int, ...]
) -> list[dict[str, Any]]:
    """Mean length of samples; all layouts. The longest first, and twice: the others find memory of its size."""
    layouts = {
        "tree": built_step(shape),
        "packed": built_step(shape, "step.layout=packed"),
        "padded": built_step(shape, "step.layout=padded", "step.micro_batch=4"),
    }
    points: list[dict[str, Any]] = []
    for mean in sorted(lengths, reverse=True):
        work = [with_mean(samples[: 2 * STEP_SAMPLES], mean, 512)[STEP_SAMPLES:]]
        point: dict[str, Any] = {"mean_length": lengths_of(work[0])["mean"]}
        for name in ("tree", "packed"):
            point[name] = timed(layouts[name], work, repeats=1 if points else 2)
        point["padded"] = timed(layouts["padded"], work)
        tree = point["tree"]["step_seconds"]
        point["packed_over_tree"] = round(point["packed"]["step_seconds"] / tree, 2)
        point["padded_over_tree"] = round(point["padded"]["step_seconds"] / tree, 2)
        points.insert(0, point)
    return points


def by_batch(shape: Shape, samples: list[Sample], batches: tuple[int, ...]) -> list[dict[str, Any]]:
    """Samples a step, and what one of them takes: the same samples, in fewer or more steps, the largest twice."""
    step = built_step(shape)
    points: list[dict[str, Any]] = []
    for size in sorted(batches, reverse=True):
        work = [step_samples(samples, number, size) for number in range(max(batches) // size)]
        point = {"batch": size, **timed(step, work, repeats=1 if points else 2)}
        point["sample_milliseconds"] = round(1000 * point["step_seconds"] / size, 1)
        points.insert(0, point)
    return points


def by_setting(
    samples: list[Sample], name: str, choices: list[tuple[Any, Shape, tuple[str, ...]]]
) -> list[dict[str, Any]]:
    """A setting of the model or of the adapter."""
    points: list[dict[str, Any]] = []
    for value, shape, overrides in choices:
        step = built_step(shape, *overrides)
        work = [step_samples(samples, 1)]
        timed(step, [step_samples(samples, 0)[:4]])
        found = timed(step, work, repeats=2)
        parameters = shape.decoder_parameters + shape.head_parameters
        points.append({name: value, "million_parameters": round(parameters / 1e6, 1), **found})
    return points


def measure(shape: Shape, samples: list[Sample], *, quick: bool) -> dict[str, list[dict[str, Any]]]:
    """All curves; `quick` keeps two points of each."""

    def few(values: tuple[int, ...]) -> tuple[int, ...]:
        return values[:2] if quick else values

    ranks = [(r, shape, (f"lora.rank={r}", f"lora.alpha={2 * r}")) for r in few(RANKS)]
    depths = [(n, replace(shape, layers=n), ()) for n in few(DEPTHS)]
    widths = [
        (
            width,
            replace(shape, hidden=width, heads=width // 64, intermediate=width * 8 // 3),
            (),
        )
        for width in few(WIDTHS)
    ]
    return {
        "length": by_length(shape, samples, few(LENGTHS)),
        "batch": by_batch(shape, samples, few(BATCHES)),
        "rank": by_setting(samples, "rank", ranks),
        "layers": by_setting(samples, "layers", depths),
        "hidden": by_setting(samples, "hidden", widths),
    }


def main() -> None:
    """Measure, print and save; with `--tiny` a small shape and two points a curve, which are not saved."""
    tiny = "--tiny" in sys.argv
    start = time.perf_counter()
    shape = TINY_SHAPE if tiny else CURVE_SHAPE
    curves = measure(shape, rendered_samples(), quick=tiny)
    document = {
        "what": "seconds of a step of the recipe `fast` as one thing changes",
        **circumstances(),
        "shape": shape.described(),
        "curves": curves,
        "seconds": round(time.perf_counter() - start, 1),
    }
    print(json.dumps(curves, indent=2))
    if not tiny:
        RESULT.write_text(json.dumps(document, indent=2) + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
