"""Steps with and without compiled layers, in one run: `python -m benchmarks.compiled_layers [--device cuda]`.

Two steps of the same recipe and weights take turns over the same samples, one with `step.compile=never` and one with
`always`. Each pair of turns is a ratio, and the median of the ratios counts. On a CPU it is the processor's time that
is compared, of all threads, which other work on the machine changes less than what a clock shows. What is compiled is
compiled before, and its time told. On a CPU the base of 0.5B has four of its 24 layers, so that a step is short; its
head, of which nothing is compiled, weighs more than in the whole base.
"""

from __future__ import annotations

import argparse
import gc
import json
from collections.abc import Sequence
from dataclasses import replace
from itertools import pairwise
from statistics import median
from time import perf_counter, process_time
from typing import Any

import torch

from benchmarks.timing import built_step, prepare, wait
from benchmarks.workload import (
    CPU_SHAPE,
    NANO_SHAPE,
    QWEN_05B,
    QWEN_15B,
    RESULTS,
    Shape,
    circumstances,
    real_data_is_there,
    rendered_samples,
    step_samples,
)
from lexitrain.samples.sample import Sample
from lexitrain.step import TrainingStep
from lexitrain.step.decoder_layer.compiled_kernels import CompiledKernels
from lexitrain.step.decoder_layer.kernels import Kernels

RESULT = RESULTS / "compiled_layers.json"
_CALLS = 2000

SHAPES = {
    "cpu": (
        ("nano", NANO_SHAPE, ("float32",), 30),
        ("small", CPU_SHAPE, ("float32",), 6),
        ("0.5B, 4 layers", replace(QWEN_05B, layers=4), ("float32",), 6),
    ),
    "cuda": (
        ("0.5B", QWEN_05B, ("bfloat16", "float16"), 12),
        ("1.5B", QWEN_15B, ("bfloat16",), 8),
    ),
}
"""Kind of device -> name, shape, precisions and pairs of turns."""


def taken(step: TrainingStep, samples: Sequence[Sample], device: str) -> tuple[float, float]:
    """Seconds and loss of a step and its update: by the clock on a GPU, of the processor on a CPU."""
    clock = process_time if device == "cpu" else perf_counter
    start = clock()
    found = step.gradients(samples)
    step.update(1e-4)
    wait()
    return clock() - start, found.loss


def compared(
    shape: Shape, dtype: str, pairs: int, *, device: str, work: Sequence[Sequence[Sample]]
) -> dict[str, Any]:
    """Both kinds of step over the work, in turns."""
    plain, compiled = (
        built_step(shape, f"step.compile={how}", device=device, dtype=getattr(torch, dtype))
        for how in ("never", "always")
    )
    plain.accumulate(plain.lay_out(work[0]), 1)
    prepared = prepare(compiled, [compiled.lay_out(samples) for samples in work])
    seconds: dict[str, list[float]] = {"never": [], "always": []}
    apart = 0.0
    for number in range(pairs):
        samples = work[number % len(work)]
        # The one that goes first changes, so that neither finds the caches warmer.
        turns = [("never", plain), ("always", compiled)]
        losses: dict[str, float] = {}
        for name, step in turns if number % 2 else reversed(turns):
            took, losses[name] = taken(step, samples, device)
            seconds[name].append(took)
        apart = max(apart, abs(losses["always"] / losses["never"] - 1))
    ratios = sorted(
        never / always for never, always in zip(seconds["never"], seconds["always"], strict=True)
    )
    return {
        "shape": shape.described(),
        "dtype": dtype,
        "pairs": pairs,
        "seconds_never": round(median(seconds["never"]), 4),
        "seconds_always": round(median(seconds["always"]), 4),
        "times_as_fast": round(median(ratios), 3),
        "times_as_fast_of_each_pair": [round(each, 3) for each in ratios],
        "losses_differ_relatively_by": apart,
        "preparing_seconds": prepared["preparing_seconds"],
        "told": compiled.notes,
    }


def calls(device: str) -> dict[str, float]:
    """Microseconds that a norm of two rows takes, whose work is next to nothing: what the host needs for it."""
    x = torch.randn(2, 896, device=device)
    weight, inverse = torch.ones(896, device=device), torch.ones(2, 1, device=device)
    # Of a GPU too the norm of several operators: one kernel would be nothing to compile.
    found: dict[str, float] = {}
    for name, kernels in (
        ("operators", Kernels(gpu=False)),
        ("compiled", CompiledKernels(gpu=False, notes=[])),
    ):
        with torch.no_grad():
            kernels.normalized_gradient(x, x, inverse, weight)
            wait()
            moments = [perf_counter()]
            for _ in range(_CALLS):
                kernels.normalized_gradient(x, x, inverse, weight)
                moments.append(perf_counter())
        took = [1e6 * (other - one) for one, other in pairwise(moments)]
        found[f"{name}_microseconds"] = round(median(took), 1)
    return found


def main(arguments: Sequence[str] | None = None) -> None:
    """Measure, print, save."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--device", choices=["cpu", "cuda"], default="cpu")
    parser.add_argument(
        "--quick", action="store_true", help="two pairs of the smallest shape, not saved"
    )
    parser.add_argument("--beside", default="", help="what else ran on the machine meanwhile")
    asked = parser.parse_args(arguments)
    data = "mixture" if real_data_is_there() else "generated"
    samples = rendered_samples(data)
    work = [step_samples(samples, number) for number in range(1, 3 if asked.quick else 5)]
    rows: list[dict[str, Any]] = []
    for name, shape, dtypes, pairs in SHAPES[asked.device][: 1 if asked.quick else None]:
        for dtype in dtypes:
            row = compared(
                shape, dtype, 2 if asked.quick else pairs, device=asked.device, work=work
            )
            rows.append({"name": name, **row})
            print(json.dumps(rows[-1]), flush=True)
            gc.collect()
    document = {
        "command": f"python -m benchmarks.compiled_layers --device {asked.device}",
        "what": "seconds of a step with step.compile=never over those with always, the same samples, in turns; "
        "the processor's seconds on a CPU",
        **circumstances(),
        "beside": asked.beside,
        "data": data,
        "norm_of_two_rows_backward": calls(asked.device),
        "steps": rows,
    }
    print(json.dumps(document["norm_of_two_rows_backward"]))
    if not asked.quick:
        name = RESULT.name if asked.device == "cpu" else "compiled_layers_gpu.json"
        (RESULTS / name).write_text(json.dumps(document, indent=2) + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
