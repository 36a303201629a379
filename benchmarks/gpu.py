"""The comparison on a GPU, in parts: `benchmarks/gpu.sh`, or `python -m benchmarks.gpu --out FOLDER`.

Parts, each saved as soon as it is there, so that a run cut short leaves what it has:

1. the ceiling: a plain bf16 (fp16 below capability 8.0) matrix product;
2. 0.5B against everyone on the same work, then with a prompt longer by 256 tokens;
3. 1.5B `best` against 0.5B `notebook`, and the hours of 7 and 4 epochs that follow from the samples a second;
4. `fast` and `best` within 3 and 6 GB;
5. what longer shared instructions cost; the achieved share of the ceiling; a profile by kernel;
6. the estimator's validation (`benchmarks/foresight.py`), where it is there.

A part starts only while the time limit leaves it room. `--dry-run` takes a tiny model on a CPU through the same code.
"""

from __future__ import annotations

import argparse
import json
import subprocess
import sys
import time
import traceback
from collections.abc import Callable
from dataclasses import dataclass, field
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import torch

from benchmarks import shared_prompt
from benchmarks.compare.comparison import Comparison, Part
from benchmarks.compare.work import SHAPES, Work
from benchmarks.step_profile import ceiling, operations, profiled
from benchmarks.timing import built_step, timed
from benchmarks.workload import (
    circumstances,
    described_samples,
    real_data_is_there,
    rendered_samples,
    step_samples,
)
from lexitrain.recipe.yaml_file import load_recipe

ROOT = Path(__file__).parents[1]
LIMIT = 465.0  # seconds; gpu.sh ends everything at 480
TRAINING_SAMPLES = 14_250  # of the team's training split
RESIDENT_MEMORY = 60e9  # bytes of GPU memory from which all competitors fit side by side


@dataclass
class Bench:
    """One run of all parts."""

    out: Path
    dry: bool
    start: float = field(default_factory=time.perf_counter)
    document: dict[str, Any] = field(default_factory=dict[str, Any])

    @property
    def device(self) -> str:
        """Where everything runs."""
        return "cpu" if self.dry else "cuda"

    @property
    def small(self) -> str:
        """The shape that stands for 0.5B."""
        return "nano" if self.dry else "0.5B"

    @property
    def large(self) -> str:
        """The shape that stands for 1.5B."""
        return "nano" if self.dry else "1.5B"

    def work(self, shape: str, prompt: int = 0) -> Work:
        """The same samples for all parts."""
        data = "mixture" if real_data_is_there() and not self.dry else "generated"
        return Work(shape=shape, prompt=prompt, device=self.device, data=data)

    def part(self, name: str, needs: float, measure: Callable[[], Any]) -> None:
        """Run a part if `needs` seconds are left, keep what it found or why there is nothing, save."""
        left = LIMIT - (time.perf_counter() - self.start)
        if left < needs and not self.dry:
            self.document[name] = {"left_out": f"{left:.0f} s left, {needs:.0f} s needed"}
        else:
            begun = time.perf_counter()
            try:
                found = measure()
            except Exception as error:  # whatever it is, the other parts still count
                traceback.print_exc()
                found = {"failed": f"{type(error).__name__}: {error}"[:300]}
            self.document[name] = found
            print(f"{name}: {time.perf_counter() - begun:.0f} s", flush=True)
        self.document["seconds"] = round(time.perf_counter() - self.start, 1)
        self.out.mkdir(parents=True, exist_ok=True)
        text = json.dumps(self.document, indent=2) + "\n"
        (self.out / "gpu.json").write_text(text, encoding="utf-8")

    def compared(self, work: Work, parts: list[Part]) -> dict[str, Any]:
        """A comparison, all side by side where the memory allows."""
        if self.dry:
            parts = [Part(part.name, 1, 1, warm_up=False) for part in parts]
            resident = False
        else:
            resident = torch.cuda.get_device_properties(0).total_memory >= RESIDENT_MEMORY
        return Comparison(work, parts, resident=resident).run()


def everyone(bench: Bench) -> dict[str, Any]:
    """0.5B against all that is installed."""
    parts = [Part("fast", 3, 5), Part("trl", 3, 5), Part("trainer", 3, 5), Part("notebook", 3, 3)]
    if not bench.dry:
        parts += [Part("trl_same", 3, 5), Part("trl_long", 3, 5), Part("notebook_nf4", 2, 2)]
    if not bench.dry and find_spec("liger_kernel"):
        parts += [Part("trl_liger", 3, 5), Part("trainer_liger", 3, 5)]
    if not bench.dry and find_spec("unsloth"):
        parts.append(Part("unsloth", 3, 5))
    return bench.compared(bench.work(bench.small), parts)


def longer_prompt(bench: Bench) -> dict[str, Any]:
    """The same with 256 tokens more in every prompt, against the packed ones."""
    names = ["fast"] if bench.dry else ["fast", "trl", "trl_long"]
    if not bench.dry and find_spec("liger_kernel"):
        names.append("trl_liger")
    work = bench.work(bench.small, prompt=32 if bench.dry else 256)
    return bench.compared(work, [Part(name, 2, 4) for name in names])


def large_model(bench: Bench) -> dict[str, Any]:
    """1.5B `best` beside 0.5B `notebook` as it ran in the same session."""
    parts = [Part("best", 3, 4), *([] if bench.dry else [Part("best_budget", 2, 2)])]
    found = bench.compared(bench.work(bench.large), parts)
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


def within_budget(bench: Bench) -> dict[str, Any]:
    """`fast` with small cuts; `best_budget` is in the large model's part."""
    return bench.compared(bench.work(bench.small), [Part("fast_budget", 2, 4)])


def of_the_ceiling(bench: Bench) -> dict[str, Any]:
    """Achieved arithmetic of `fast` and `best` over the measured product, and where the time goes."""
    found: dict[str, Any] = {}
    samples = rendered_samples(bench.work(bench.small).data)
    for name, shape_name in (("fast", bench.small), ("best", bench.large)):
        shape = SHAPES[shape_name]
        step = built_step(shape, name=name, device=bench.device, dtype=bench.work(shape_name).dtype)
        work = [step_samples(samples, number) for number in range(1, 2 if bench.dry else 6)]
        timed(step, work[:1])
        seconds = timed(step, work, repeats=1 if bench.dry else 2)
        rank = load_recipe(name).lora.rank
        done = sum(operations(shape, rank, step.lay_out(part)) for part in work) / len(work)
        best = bench.document["ceiling"]["tflops"] * 1e12
        found[name] = {
            **seconds,
            "tflop_per_step": round(done / 1e12, 4),
            "model_flops_utilization": round(done / seconds["step_seconds"] / best, 4),
            "profile": profiled(step, work[:2], device=bench.device),
        }
        del step
    return found


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


def estimator(bench: Bench) -> dict[str, Any]:
    """What the estimator foretold against what this GPU does."""
    if find_spec("benchmarks.foresight") is None:
        return {"left_out": "benchmarks/foresight.py is not there"}
    command = [sys.executable, "-m", "benchmarks.foresight", *(["--dry-run"] if bench.dry else [])]
    done = subprocess.run(
        command, cwd=ROOT, capture_output=True, text=True, check=False, timeout=120
    )
    return {"exit": done.returncode, "output": (done.stdout or done.stderr)[-4000:]}


def main() -> None:
    """All parts in their order."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--out", type=Path, required=True, help="folder for gpu.json")
    parser.add_argument("--dry-run", action="store_true", help="tiny shapes on a CPU")
    chosen = parser.parse_args()
    if not (chosen.dry_run or torch.cuda.is_available()):
        sys.exit("There is no CUDA device here. Use --dry-run to try the parts on a CPU.")
    bench = Bench(chosen.out, chosen.dry_run)
    packages = ("trl", "accelerate", "datasets", "bitsandbytes", "liger-kernel", "unsloth")
    bench.document = {
        "what": "LexiTrain and other trainers on one GPU, random weights",
        "dry_run": chosen.dry_run,
        **circumstances(*packages),
        "data": bench.work(bench.small).data,
        "samples": described_samples(rendered_samples(bench.work(bench.small).data)[:504]),
    }
    bench.part("ceiling", 10, lambda: measured_ceiling(bench))
    bench.part("everyone", 150, lambda: everyone(bench))
    bench.part("large_model", 60, lambda: large_model(bench))
    bench.part("longer_prompt", 60, lambda: longer_prompt(bench))
    bench.part("within_budget", 30, lambda: within_budget(bench))
    bench.part("of_the_ceiling", 40, lambda: of_the_ceiling(bench))
    bench.part("shared_prompt", 30, lambda: prompts(bench))
    bench.part("estimator", 60, lambda: estimator(bench))
    failed = [name for name, found in bench.document.items() if "failed" in str(found)[:12]]
    print(f"saved {chosen.out / 'gpu.json'}; failed parts: {', '.join(failed) or 'none'}")
    sys.exit(1 if failed else 0)


if __name__ == "__main__":
    main()
