"""The parts of the comparison on a GPU (`benchmarks/gpu.py`), in the order in which they count:

1. the ceiling: a plain bf16 (fp16 below capability 8.0) matrix product;
2. 0.5B against everyone on the same work, and itself with graphs, compiled, in one row, in many cuts, within 3 GB;
3. 1.5B `best` likewise against itself, and the hours of its 7 epochs and of 0.5B `notebook`'s 4 that follow;
4. the achieved share of the ceiling; a profile by kernel;
5. 0.5B with a prompt longer by 256 tokens;
6. the estimator's validation (`benchmarks/foresight.py`), in the time that the last part leaves;
7. what longer shared instructions cost.

How many seconds each needs is reckoned for an H100 with 16 cores: processes that start together take about 40 s until
all are warm, compiled layers among them, a step of ours 0.1 to 0.4 s, a micro-batch of the others 0.25 to 0.4 s.
"""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Callable
from dataclasses import dataclass
from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING, Any

from benchmarks import shared_prompt
from benchmarks.compare import unsloth
from benchmarks.compare.comparison import Part
from benchmarks.compare.work import SHAPES
from benchmarks.step_profile import ceiling, operations, profiled
from benchmarks.timing import built_step, timed
from benchmarks.workload import rendered_samples, step_samples
from lexitrain.recipe.yaml_file import load_recipe

if TYPE_CHECKING:
    from benchmarks.gpu import Bench

ROOT = Path(__file__).parents[1]
TRAINING_SAMPLES = 14_250  # of the team's training split
SAME_LOSS = {"torch.float32": 1e-4, "torch.bfloat16": 1e-2, "torch.float16": 1e-2}
"""By how much, relative to it, a step's loss may differ with graphs or compiled: rows are padded to other lengths, and
a compiled norm adds up in another order than operators; twenty updates carry that on."""
TWENTY = Part("", 3, 6, warm_up=2)
"""Twenty steps together, the first two untimed."""


@dataclass(frozen=True, slots=True)
class BenchPart:
    """A part of the run.

    Attributes:
        name: in the document.
        needs: seconds that must be left for it to start.
        measure: what it finds; `failed` in it, at any depth, is a failure.
    """

    name: str
    needs: float
    measure: Callable[[Bench], Any]


def measured_ceiling(bench: Bench) -> dict[str, Any]:
    """The best rate of a plain product, and that of the shapes that `fast` multiplies."""
    size = 256 if bench.dry else 8192
    dtype = bench.work(bench.small).dtype
    shape = SHAPES[bench.small]
    square = ceiling(size, size, size, device=bench.device, dtype=dtype)
    own = ceiling(512, shape.hidden, shape.intermediate, device=bench.device, dtype=dtype)
    return {
        "tflops": round(square / 1e12, 3),
        "tflops_512_rows": round(own / 1e12, 3),
        "product": size,
        "dtype": str(dtype),
    }


def everyone(bench: Bench) -> dict[str, Any]:
    """0.5B against all that is installed, and against itself with other cuts, with graphs and compiled.

    Where memory holds one competitor at a time, each costs its own start: only the first few are taken.
    """
    parts = [
        *(twenty("fast"), twenty("fast_graphs"), Part("trl", 2, 4), Part("trainer", 2, 3)),
        *(Part("notebook", 2, 2), twenty("fast_compiled"), twenty("fast_graphs_compiled")),
    ]
    if not bench.dry:
        parts += [Part("fast_one_row", 3, 5), Part("fast_many_cuts", 3, 5)]
    if unsloth.is_there():
        parts.insert(2, Part("unsloth", 3, 5, warm_up=2))
    if bench.resident:
        parts += [Part("trl_same", 2, 2), Part("trl_long", 2, 4), Part("trl_row", 2, 4)]
        parts += [Part("fast_budget", 2, 4), Part("notebook_nf4", 1, 2)]
        if find_spec("liger_kernel"):
            parts += [Part("trl_liger", 2, 4), Part("trainer_liger", 2, 3)]
    found = bench.compared(bench.work(bench.small), parts)
    compiled = {name: beside(found, name, f"{name}_compiled") for name in ("fast", "fast_graphs")}
    return {**found, "graphs": of_graphs(found, "fast"), "compiled": compiled}


def large_model(bench: Bench) -> dict[str, Any]:
    """1.5B `best`, with other cuts and with graphs, beside 0.5B `notebook` as it ran before."""
    parts = [twenty("best"), twenty("best_graphs")]
    parts += [Part("best_one_row", 2, 4), Part("best_many_cuts", 2, 4)]
    parts += [] if bench.dry else [Part("best_budget", 2, 2)]
    found = bench.compared(bench.work(bench.large), parts)
    found["graphs"] = of_graphs(found, "best")
    best = found["competitors"]["best"]
    old = bench.document.get("everyone", {}).get("competitors", {}).get("notebook", {})
    if "samples_per_second" in best and "samples_per_second" in old:
        hours = {
            "best, 7 epochs": 7 * TRAINING_SAMPLES / best["samples_per_second"] / 3600,
            "notebook, 4 epochs": 4 * TRAINING_SAMPLES / old["samples_per_second"] / 3600,
        }
        found["hours"] = {name: round(value, 4) for name, value in hours.items()}
        found["training_samples"] = TRAINING_SAMPLES
    return found


def twenty(name: str) -> Part:
    """A competitor whose losses are compared over twenty steps."""
    return Part(name, TWENTY.rounds, TWENTY.steps, TWENTY.warm_up)


def of_graphs(found: dict[str, Any], name: str) -> dict[str, Any]:
    """What graphs change, as `beside`, and how many forms of cuts are recorded.

    Args:
        found: a comparison with the competitors `name` and `name_graphs`.
        name: of the one without.
    """
    changed = beside(found, name, f"{name}_graphs")
    if "not_compared" in changed:
        return changed
    facts = found["competitors"][f"{name}_graphs"]["facts"]
    return {**changed, "recorded_forms": facts["recorded_forms"], "forms": facts["forms"]}


def beside(found: dict[str, Any], name: str, other: str) -> dict[str, Any]:
    """What another setting changes: the losses of the same steps with and without it, the speed, and what was told.

    Args:
        found: a comparison with both competitors.
        name: of the one without.
        other: of the one with.
    """
    plain, changed = (found["competitors"][each] for each in (name, other))
    if "failed" in plain or "failed" in changed:
        return {"not_compared": "one of the two has failed"}
    pairs = list(zip(plain["losses"], changed["losses"], strict=False))
    tolerance = SAME_LOSS[found["work"]["dtype"]]
    apart = max(abs(one - other) / max(1.0, abs(one)) for one, other in pairs)
    return {
        "steps": len(pairs),
        "losses": {name: [one for one, _ in pairs], other: [each for _, each in pairs]},
        "largest_relative_difference": apart,
        "tolerance": tolerance,
        "equal": apart <= tolerance,
        "told": changed["facts"]["told"],
        "samples_per_second": round(changed["samples_per_second"] / plain["samples_per_second"], 3),
        **({} if apart <= tolerance else {"failed": f"losses differ by {apart:.2g} of their size"}),
    }


def of_the_ceiling(bench: Bench) -> dict[str, Any]:
    """Achieved arithmetic of `fast` and `best` over the measured product, and where the time goes."""
    found: dict[str, Any] = {}
    samples = rendered_samples(bench.work(bench.small).data)
    work = [step_samples(samples, number) for number in range(1, 2 if bench.dry else 6)]
    best = bench.document["ceiling"]["tflops"] * 1e12
    for name, shape_name in (("fast", bench.small), ("best", bench.large)):
        shape, dtype = SHAPES[shape_name], bench.work(shape_name).dtype
        rank = load_recipe(name).lora.rank
        for graphs in ("never", "always"):
            step = built_step(
                shape, f"step.graphs={graphs}", name=name, device=bench.device, dtype=dtype
            )
            seconds = timed(step, work, repeats=1 if bench.dry else 3)
            done = sum(operations(shape, rank, step.lay_out(part)) for part in work) / len(work)
            profile = profiled(step, work[:2], device=bench.device)
            row = {
                **seconds,
                "tflop_per_step": round(done / 1e12, 4),
                "model_flops_utilization": round(done / seconds["step_seconds"] / best, 4),
                "profile": profile,
            }
            if "kernel_seconds_per_step" in profile:
                kernels = profile["kernel_seconds_per_step"]
                row["step_over_kernels"] = round(seconds["step_seconds"] / kernels, 2)
            found[name if graphs == "never" else f"{name}_graphs"] = row
            del step
    return found


def longer_prompt(bench: Bench) -> dict[str, Any]:
    """0.5B with 256 tokens more in every prompt, against the packed ones."""
    names = ["fast", "fast_graphs"]
    if not bench.dry:
        names += ["trl_long", "trl_row"]
    if unsloth.is_there():
        names.append("unsloth")
    if not bench.dry and find_spec("liger_kernel"):
        names.append("trl_liger")
    work = bench.work(bench.small, prompt=32 if bench.dry else 256)
    return bench.compared(work, [Part(name, 2, 4) for name in names])


def estimator(bench: Bench) -> dict[str, Any]:
    """What the estimator foretold against what this GPU does, in the time that the part after it leaves.

    Raises:
        RuntimeError: it has failed.
    """
    if bench.dry:
        asked, most = ["--dry-run"], 600.0
    else:
        most = bench.left - PARTS[-1].needs
        out = bench.out.resolve() / "foresight_gpu.json"
        asked = ["--seconds", f"{most - ENDING:.0f}", "--out", str(out)]
    command = [sys.executable, "-m", "benchmarks.foresight", *asked]
    done = subprocess.run(
        command, cwd=ROOT, capture_output=True, text=True, check=False, timeout=most
    )
    if done.returncode:
        raise RuntimeError(f"exit {done.returncode}: {done.stderr.strip()[-250:]}")
    return {"output": done.stdout[-4000:]}


def prompts(bench: Bench) -> Any:
    """Longer shared instructions."""
    extra = (0, 32) if bench.dry else shared_prompt.EXTRA
    return shared_prompt.measure(
        SHAPES[bench.small],
        extra,
        device=bench.device,
        dtype=bench.work(bench.small).dtype,
        samples=rendered_samples(bench.work(bench.small).data),
    )


ENDING = 10.0
"""Seconds that the estimator gets to end the configuration at hand, which may take longer than the longest before."""
PARTS = (
    BenchPart("ceiling", 8, measured_ceiling),
    BenchPart("everyone", 190, everyone),
    BenchPart("large_model", 70, large_model),
    BenchPart("of_the_ceiling", 50, of_the_ceiling),
    BenchPart("longer_prompt", 55, longer_prompt),
    BenchPart("estimator", 45, estimator),
    BenchPart("shared_prompt", 22, prompts),
)
