"""Where the time of one step goes: `python -m benchmarks.step_profile`.

The product's own step on the CPU workload (`benchmarks/workload.py`), forward, backward and update, under
torch.profiler. Each operator's own time (without the operators it calls) is put into one kind: matrix products,
attention, or what the rest is. Beside it the achieved arithmetic over the ceiling of this machine, which is measured as
the same number of threads multiplying the shapes of the step.
"""

from __future__ import annotations

import json
import sys
import time
from collections import defaultdict
from collections.abc import Callable, Iterable
from typing import Any

import torch
from torch.autograd import DeviceType  # pyright: ignore[reportPrivateImportUsage]
from torch.profiler import ProfilerActivity, profile

from benchmarks.timing import built_step, wait
from benchmarks.workload import (
    CPU_SHAPE,
    RESULTS,
    TINY_SHAPE,
    Shape,
    circumstances,
    described_samples,
    rendered_samples,
    step_samples,
)
from lexitrain.batching.micro_batch import MicroBatch
from lexitrain.recipe.yaml_file import load_recipe
from lexitrain.samples.sample import Sample
from lexitrain.step import TrainingStep

RESULT = RESULTS / "step_profile.json"
STEPS = 2

#: The kind of an operator by the beginning of its name; the first that fits counts.
KINDS = (
    (
        "attention",
        ("aten::_scaled_dot_product", "aten::_flash_attention", "aten::_efficient_attention"),
    ),
    (
        "matrix products",
        ("aten::mm", "aten::addmm", "aten::bmm", "aten::baddbmm", "mkldnn::_linear"),
    ),
    ("optimizer", ("aten::_fused_adamw", "Optimizer.", "aten::_foreach")),
    ("SiLU", ("aten::silu",)),
    ("copies and casts", ("aten::copy_", "aten::cat", "aten::clone", "aten::_to_copy")),
    (
        "logsumexp, softmax, gather",
        (
            "aten::logsumexp",
            "aten::exp",
            "aten::gather",
            "aten::scatter",
            "aten::max",
            "aten::amax",
            "aten::sum",
        ),
    ),
    (
        "norms",
        ("aten::mean", "aten::pow", "aten::rsqrt", "aten::rms_norm", "aten::_fused_rms_norm"),
    ),
    ("element-wise", ("aten::mul", "aten::add", "aten::sub", "aten::neg", "aten::div")),
    ("lookup", ("aten::index", "aten::embedding")),
)

#: The kind of a GPU's kernel by a part of its name, in small letters; the first that fits counts, so that what is
#: special stands before what many names contain.
KERNELS = (
    ("attention", ("flash", "fmha", "flex_attention", "sdpa", "attention")),
    ("optimizer", ("multi_tensor_apply", "adam", "optimizer")),
    (
        "matrix products",
        ("gemm", "gemv", "nvjet", "cutlass", "cublas", "xmma", "splitk", "_mm_", "dot_kernel"),
    ),
    ("SiLU", ("silu", "swiglu")),
    ("norms", ("rms_norm", "rmsnorm", "layer_norm", "layernorm", "rowwisemoments")),
    ("logsumexp, softmax, gather", ("softmax", "logsumexp", "cross_entropy", "reduce_kernel")),
    ("lookup", ("index", "embedding", "gather", "scatter")),
    ("copies and casts", ("memcpy", "memset", "copy", "catarray", "fill")),
    ("other compiled kernels", ("triton",)),
    ("element-wise", ("elementwise",)),
)
_STARTS = ("cudaLaunchKernel", "cuLaunchKernel", "cudaGraphLaunch", "cuGraphLaunch")


def kind_of(operator: str) -> str:
    """The kind of an operator, `other` where none is named for it."""
    return next((kind for kind, names in KINDS if operator.startswith(names)), "other")


def operations(shape: Shape, rank: int, batches: list[MicroBatch]) -> float:
    """Arithmetic of a step: matrix products and attention, forward and backward, nothing recomputed.

    A frozen weight takes 2 operations a token forward and 2 backward, an adapter's 6, a scored position 4 a weight of
    the head; a cell of attention that is computed 14 a channel (`lexitrain.batching.cuts.CutCost`).
    """
    key_value = shape.key_value_heads * shape.hidden // shape.heads
    ends = 2 * (2 * shape.hidden) + 2 * (shape.hidden + key_value)
    ends += 3 * (shape.hidden + shape.intermediate)
    a_token = 4 * shape.decoder_parameters + 6 * rank * shape.layers * ends
    return sum(
        batch.tokens.size * a_token
        + 14 * shape.layers * shape.hidden * batch.cells
        + 4 * shape.head_parameters * len(batch.predict)
        for batch in batches
    )


def ceiling(
    rows: int, inputs: int, outputs: int, *, device: str = "cpu", dtype: Any = torch.float32
) -> float:
    """Operations a second of this device in plain products [rows, inputs] x [inputs, outputs], the best of many."""
    left = torch.randn(rows, inputs, dtype=dtype, device=device)
    right = torch.randn(outputs, inputs, dtype=dtype, device=device)
    best, until = 0.0, time.perf_counter() + 2.0
    while time.perf_counter() < until:
        start = time.perf_counter()
        for _ in range(5):
            torch.nn.functional.linear(left, right)
        if device == "cuda":
            torch.cuda.synchronize()
        best = max(best, 5 * 2 * rows * inputs * outputs / (time.perf_counter() - start))
    return best


def kernel_kind(kernel: str) -> str:
    """The kind of a GPU's kernel by what its name contains, `other` where none is named for it."""
    name = kernel.lower()
    return next((kind for kind, words in KERNELS if any(word in name for word in words)), "other")


def kernel_seconds(events: Iterable[Any]) -> tuple[dict[str, float], int]:
    """What ran on the GPU: seconds by name, and how many there were.

    Each kernel and each copy counts once, by its own time on the device, whoever started it: an operator of PyTorch, a
    compiled Triton kernel or a recorded graph. Operators, which have their kernels' time too, are left out, and so are
    regions that were only named.

    Args:
        events: of a profile.
    """
    found: dict[str, float] = defaultdict(float)
    count = 0
    for event in events:
        if event.device_type == DeviceType.CUDA and not event.is_user_annotation:
            found[event.name] += event.time_range.elapsed_us() / 1e6
            count += 1
    return dict(found), count


def profiled(
    step: TrainingStep, work: list[list[Sample]], *, device: str = "cpu"
) -> dict[str, Any]:
    """Own times over the steps by kind and by name: of operators on a CPU, of kernels on a GPU.

    On a GPU also the kernels of a step, their seconds, and how often the host started something for them.
    """
    rate = 1e-4
    on_gpu = device == "cuda"
    activities = [ProfilerActivity.CPU, *([ProfilerActivity.CUDA] if on_gpu else [])]
    with profile(activities=activities) as profiler:
        for samples in work:
            step.gradients(samples)
            step.update(rate)
        wait()
    if not on_gpu:
        own = {event.key: event.self_cpu_time_total / 1e6 for event in profiler.key_averages()}
        return shares(own, kind_of)
    events = profiler.events() or []
    by_name, kernels = kernel_seconds(events)
    return {
        **shares(by_name, kernel_kind),
        "kernels_per_step": round(kernels / len(work), 1),
        "kernel_seconds_per_step": round(sum(by_name.values()) / len(work), 5),
        "starts_per_step": round(
            sum(event.name.startswith(_STARTS) for event in events) / len(work), 1
        ),
    }


def shares(by_name: dict[str, float], kind: Callable[[str], str]) -> dict[str, Any]:
    """Shares of the whole by kind and, of the 25 largest, by name."""
    total = sum(by_name.values())
    by_kind: dict[str, float] = defaultdict(float)
    for name, seconds in by_name.items():
        by_kind[kind(name)] += seconds

    def largest(found: dict[str, float], most: int) -> dict[str, float]:
        ordered = sorted(found.items(), key=lambda item: -item[1])[:most]
        return {name: round(seconds / total, 4) for name, seconds in ordered}

    arithmetic = ("matrix products", "attention")
    return {
        "products_and_attention": round(sum(by_kind[kind] for kind in arithmetic) / total, 4),
        "by_kind": largest(by_kind, len(by_kind)),
        "by_operator": largest(by_name, 25),
    }


def measure(shape: Shape, samples: list[Sample], steps: int) -> dict[str, Any]:
    """Profile the steps, and time the same ones without the profiler."""
    step = built_step(shape)
    work = [step_samples(samples, number) for number in range(steps + 1)]
    for part in work:  # until the process has all the memory that it needs
        step.gradients(part)
        step.update(1e-4)
    seconds: list[float] = []
    laid = [step.lay_out(part) for part in work[1:]]
    for part in work[1:]:
        start = time.perf_counter()
        step.gradients(part)
        step.update(1e-4)
        seconds.append(time.perf_counter() - start)
    found = profiled(step, work[1:])
    done = [operations(shape, load_recipe("fast").lora.rank, batches) for batches in laid]
    row = max(batch.tokens.shape[1] for batches in laid for batch in batches)
    best = ceiling(row, shape.hidden, shape.intermediate)
    return {
        "what": "own time of operators in steps of 24 samples of the recipe `fast` (AdamW of PyTorch), fp32",
        **circumstances(),
        "shape": shape.described(),
        "samples": described_samples([sample for part in work[1:] for sample in part]),
        "steps": steps,
        "layout_tokens": sum(b.layout_tokens for batches in laid for b in batches) // steps,
        "cuts": round(sum(map(len, laid)) / steps, 2),
        "cut_lengths": [[batch.tokens.shape[1] for batch in batches] for batches in laid],
        "step_seconds": round(sum(seconds) / steps, 3),
        "tflop_per_step": round(sum(done) / steps / 1e12, 4),
        "achieved_gflops": round(sum(done) / sum(seconds) / 1e9, 1),
        "ceiling_gflops": round(best / 1e9, 1),
        "achieved_over_ceiling": round(sum(done) / sum(seconds) / best, 3),
        **found,
    }


def main() -> None:
    """Profile, print and save; with `--tiny` a small shape, which is not saved."""
    tiny = "--tiny" in sys.argv
    document = measure(TINY_SHAPE if tiny else CPU_SHAPE, rendered_samples(), 1 if tiny else STEPS)
    text = json.dumps(document, indent=2)
    print(text)
    if not tiny:
        RESULT.write_text(text + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
