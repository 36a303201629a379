"""Foreseen against measured: memory and time of real steps: `python -m benchmarks.foresight`.

A base of 39 million random weights in Qwen2's form (on a GPU those of Qwen2.5-0.5B and 1.5B) is stepped in
configurations that differ in layout, rank, quantization, recomputation, optimizer and length. Of each: the peak of the
bytes in use, as a rehearsal foresees it and as it was (`live_memory.py` on a CPU, the allocator's own count on a GPU),
the growth of the process's resident memory, and the seconds of a step. Machines change their speed within minutes, by a
tenth and more: the calibration is taken before the steps and again after them, and the mean of what the two foresee is
compared. The samples have the lengths of the benchmark mixture.

On a CPU each configuration has a process of its own, since a process keeps the memory that it once had. On a GPU the
allocator's count tells the same of one process, which starts the next configuration only while its time is not up, and
calibrates once: its clocks keep their pace. `--dry-run` goes that way on a CPU with next to no model, rates of the
catalogue, and saves nothing.
"""

from __future__ import annotations

import argparse
import gc
import json
import resource
import subprocess
import sys
import time
import traceback
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime
from importlib.metadata import version
from pathlib import Path
from statistics import fmean, median
from tempfile import TemporaryDirectory
from typing import Any

import torch

from benchmarks.device_cuts import planned_here
from benchmarks.live_memory import LiveMemory
from benchmarks.timing import prepare
from lexitrain.models import attach_adapter, compute_dtype, load_base
from lexitrain.models.architecture import Architecture, architecture_of
from lexitrain.planning.devices.catalogue import find_gpu
from lexitrain.planning.devices.measurement import calibrate
from lexitrain.planning.devices.processor import processor
from lexitrain.planning.devices.rates import Rates, catalogue_rates
from lexitrain.planning.estimate.mixture import profile_samples
from lexitrain.planning.rehearsal.rehearse import rehearse
from lexitrain.planning.rehearsal.target import Target
from lexitrain.recipe.schema import Recipe
from lexitrain.recipe.yaml_file import load_recipe
from lexitrain.step import TrainingStep, build_optimizer, keep_freed_memory

_RESULTS = Path(__file__).parent / "results"
RESULTS = {"cpu": _RESULTS / "foresight.json", "cuda": _RESULTS / "foresight_gpu.json"}
SAMPLES = 24
REPEATS = 5
SMALL = {
    "model_type": "qwen2",
    "vocab_size": 32_000,
    "hidden_size": 512,
    "intermediate_size": 1408,
    "num_hidden_layers": 8,
    "num_attention_heads": 8,
    "num_key_value_heads": 2,
    "tie_word_embeddings": True,
}
TINY = SMALL | {
    "hidden_size": 64,
    "intermediate_size": 128,
    "num_hidden_layers": 2,
    "num_attention_heads": 4,
}
SHAPES = {"small": SMALL, "tiny": TINY}


@dataclass(frozen=True)
class Configuration:
    """What is stepped: a base and what differs from the recipe `fast`."""

    base: str
    settings: tuple[str, ...]

    @property
    def name(self) -> str:
        """The settings in one line."""
        return " ".join((self.base.rpartition("/")[2], *self.settings))


def _on(base: str, *lines: str) -> tuple[Configuration, ...]:
    return tuple(Configuration(base, tuple(line.split())) for line in lines)


CPU = _on(
    "small",
    "optimizer.name=adamw",
    "step.layout=packed step.token_budget=1024",
    "lora.rank=64 optimizer.name=adamw",
    "step.gradient_checkpointing=always",
    "model.quantization=nf4",
    "step.layout=padded data.max_length=192 step.micro_batch=4 step.loss=all_tokens lora.dropout=0.1",
    "step.layout=padded data.max_length=384 step.micro_batch=2 step.gradient_checkpointing=always",
    "step.token_budget=256 lora.rank=8",
    "step.layout=packed step.micro_batch=24",
    "model.quantization=nf4 step.gradient_checkpointing=always step.micro_batch=12",
)
_GPU_LINES = (
    "optimizer.name=adamw",
    "step.layout=packed step.token_budget=4096",
    "lora.rank=64",
    "step.gradient_checkpointing=always",
    "model.quantization=nf4",
    "step.layout=padded data.max_length=512 step.micro_batch=8 step.loss=all_tokens lora.dropout=0.1",
)
DRY = _on("tiny", "optimizer.name=adamw", "step.layout=packed step.micro_batch=12 lora.rank=8")
GPU = tuple(
    each for base in ("Qwen/Qwen2.5-0.5B", "Qwen/Qwen2.5-1.5B") for each in _on(base, *_GPU_LINES)
)


def architecture(base: str) -> Architecture:
    """A shape of this file, or a built-in one."""
    return Architecture(base, SHAPES[base]) if base in SHAPES else architecture_of(base)


@contextmanager
def saved_bases() -> Iterator[Callable[[str, torch.device], str]]:
    """Gives a folder with random weights of a base, made once."""
    from transformers import AutoModelForCausalLM

    with TemporaryDirectory() as together:

        def saved(base: str, device: torch.device) -> str:
            folder = Path(together) / base.replace("/", "-")
            if not folder.is_dir():
                config = architecture(base).transformers_config()
                dtype = compute_dtype("auto", device)
                with torch.device(device):
                    model = AutoModelForCausalLM.from_config(config, dtype=dtype)
                model.save_pretrained(folder)
            return str(folder)

        yield saved


def real_step(
    folder: str, shape: Architecture, recipe: Recipe, device: torch.device
) -> TrainingStep:
    """The product's step on saved weights, loaded by the product and cut as a run would cut."""
    settings = recipe.model.model_copy(update={"base": folder})
    base = load_base(settings, device=device, dtype=compute_dtype("auto", device))
    model = attach_adapter(base, recipe.lora, recipe.seed)
    optimizer = build_optimizer(model.named_parameters(), recipe.optimizer)
    return TrainingStep(
        model,
        optimizer,
        recipe.step,
        max_length=recipe.data.max_length,
        pad_id=0,
        clip=1.0,
        cut_cost=planned_here(shape, recipe, device.type),
    )


def target_at_hand(device: torch.device, recipe: Recipe) -> Target:
    """The kind of the device."""
    capability = torch.cuda.get_device_capability(device) if device.type == "cuda" else None
    return Target.of("auto", capability, recipe.step.attention)


def measure(
    configuration: Configuration, saved: Callable[[str, torch.device], str]
) -> dict[str, Any]:
    """One configuration in this process: foreseen and measured, and the operations for the time."""
    device = torch.device("cuda" if torch.cuda.is_available() else "cpu")
    recipe = load_recipe("fast", list(configuration.settings))
    shape = architecture(configuration.base)
    samples = profile_samples(SAMPLES, max_length=recipe.data.max_length, tasks=recipe.data.tasks)
    if device.type == "cpu":
        keep_freed_memory()
    folder = saved(configuration.base, device)
    before, left = _resident(), _left_over(device)
    step = real_step(folder, shape, recipe, device)
    batches = step.lay_out(samples)
    rehearsal = rehearse(shape, recipe, target_at_hand(device, recipe), batches)
    supervised = sum(batch.supervised_tokens for batch in batches)

    def once() -> None:
        step.accumulate(batches, supervised)
        step.update(1e-4)
        if device.type == "cuda":
            torch.cuda.synchronize()

    prepare(step, [batches])
    once()
    seconds = [_timed(once) for _ in range(REPEATS)]
    grown = _resident() - before
    return {
        "configuration": configuration.name,
        "cuts": [[*batch.tokens.shape, len(batch.predict)] for batch in batches],
        "foreseen_bytes": rehearsal.memory.peak,
        "parts": rehearsal.memory.parts(),
        "measured_bytes": _peak(step, once, device),
        "resident_growth_bytes": grown,
        "left_over_bytes": left,
        "measured_seconds": median(seconds),
        "operations": [
            [work.kind, work.phase, work.flops, work.bytes, work.launches]
            for work in rehearsal.operations
        ],
    }


def _peak(step: TrainingStep, once: Callable[[], None], device: torch.device) -> int:
    """Most bytes in use during a step."""
    step.optimizer.zero_grad(set_to_none=True)
    if device.type == "cuda":
        torch.cuda.reset_peak_memory_stats()
        once()
        return torch.cuda.max_memory_allocated()
    memory = LiveMemory()
    model, optimizer = step.model, step.optimizer
    memory.hold(*model.parameters(), *model.buffers())
    for each in model.parameters():
        quantized = getattr(each, "quant_state", None)
        if quantized is not None:
            second = quantized.state2
            memory.hold(quantized.absmax, quantized.code, quantized.offset)
            memory.hold(second.absmax, second.code)
    state = [value for kept in optimizer.state.values() for value in kept.values()]
    memory.hold(*(value for value in state if isinstance(value, torch.Tensor)))
    with memory:
        once()
    return memory.peak


def _timed(work: Callable[[], None]) -> float:
    start = time.perf_counter()
    work()
    return time.perf_counter() - start


def _left_over(device: torch.device) -> int:
    """Bytes that configurations before this one still hold on a GPU."""
    if device.type != "cuda":
        return 0
    gc.collect()
    torch.cuda.empty_cache()
    return torch.cuda.memory_allocated()


def _resident() -> int:
    """Largest resident memory of this process so far."""
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024


def with_time(row: dict[str, Any], rates: Sequence[Rates]) -> dict[str, Any]:
    """The row with what each calibration's rates foresee for its operations, their mean, and both errors."""
    from lexitrain.planning.rehearsal.rehearsed_step import Work

    operations = [Work(*each) for each in row.pop("operations")]
    by_each = [each.seconds(operations) for each in rates]
    foreseen = fmean(by_each)
    return row | {
        "foreseen_before_and_after": [round(seconds, 4) for seconds in by_each],
        "foreseen_seconds": round(foreseen, 4),
        "measured_seconds": round(row["measured_seconds"], 4),
        "memory_error": round(row["foreseen_bytes"] / row["measured_bytes"] - 1, 4),
        "time_error": round(foreseen / row["measured_seconds"] - 1, 4),
    }


def _calibrated() -> Rates:
    return calibrate(lambda what: print(f"calibrating: {what}", file=sys.stderr)).rates()


def in_processes(configurations: Sequence[Configuration]) -> list[dict[str, Any]]:
    """All configurations, each in a process of its own."""
    rows: list[dict[str, Any]] = []
    for number, configuration in enumerate(configurations):
        command = [sys.executable, "-m", "benchmarks.foresight", "--one", str(number)]
        done = subprocess.run(command, check=True, capture_output=True, text=True)
        rows.append(json.loads(done.stdout.splitlines()[-1]))
        _say(rows[-1], configuration)
    return rows


def in_this_process(
    configurations: Sequence[Configuration], until: float
) -> tuple[list[dict[str, Any]], list[str]]:
    """The configurations one after the other, while there is time for one that takes as long as the longest so far.

    Args:
        configurations: in the order in which they count.
        until: time of day by which the last must have ended, seconds since the epoch.

    Returns:
        a row each, `failed` where one could not be stepped; and the names of those that were not begun.
    """
    rows: list[dict[str, Any]] = []
    longest = 0.0
    with saved_bases() as saved:
        for number, configuration in enumerate(configurations):
            begun = time.time()
            if begun + longest > until:
                return rows, [each.name for each in configurations[number:]]
            try:
                rows.append(measure(configuration, saved))
                _say(rows[-1], configuration)
            except Exception as error:  # whatever it is, the other configurations still count
                traceback.print_exc()
                why = f"{type(error).__name__}: {error}"[:300]
                rows.append({"configuration": configuration.name, "failed": why})
            longest = max(longest, time.time() - begun)
    return rows, []


def _say(row: dict[str, Any], configuration: Configuration) -> None:
    print(f"{row['measured_seconds']:8.2f} s  {configuration.name}", flush=True)


def document_of(
    rows: Sequence[dict[str, Any]], rates: Sequence[Rates], left_out: Sequence[str]
) -> dict[str, Any]:
    """What is saved."""
    timed = [row if "failed" in row else with_time(row, rates) for row in rows]
    good = [row for row in timed if "failed" not in row]
    for row in good:
        print(f"{row['memory_error']:+8.1%} {row['time_error']:+8.1%}  {row['configuration']}")
    device = torch.cuda.get_device_name() if torch.cuda.is_available() else processor()
    return {
        "what": "peak bytes in use and seconds of a step, foreseen and measured",
        "device": device,
        "date": datetime.now(UTC).date().isoformat(),
        "versions": {
            name: version(name) for name in ("torch", "transformers", "peft", "bitsandbytes")
        },
        "worst_memory_error": max((abs(row["memory_error"]) for row in good), default=None),
        "worst_time_error": max((abs(row["time_error"]) for row in good), default=None),
        **({"left_out": list(left_out)} if left_out else {}),
        "rows": timed,
    }


def main() -> None:
    """Calibrate, step every configuration, calibrate again, compare, save."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--one", type=int, help="only this configuration of a CPU's, as JSON")
    parser.add_argument("--seconds", type=float, default=1e6, help="on a GPU: within this time")
    parser.add_argument("--out", type=Path, help="file; results/foresight.json, of a GPU its own")
    parser.add_argument("--dry-run", action="store_true", help="tiny, on a CPU, not saved")
    chosen = parser.parse_args()
    until = time.time() + chosen.seconds
    if chosen.one is not None:
        with saved_bases() as saved:
            print(json.dumps(measure(CPU[chosen.one], saved)))
        return
    left_out: list[str] = []
    if chosen.dry_run:
        rates = [catalogue_rates(find_gpu("CPU"), "fp32", "expected")]
        rows, left_out = in_this_process(DRY, until)
    elif torch.cuda.is_available():
        rates = [_calibrated()]
        rows, left_out = in_this_process(GPU, until)
    else:
        rates = [_calibrated()]
        rows = in_processes(CPU)
        rates.append(_calibrated())
    document = document_of(rows, rates, left_out)
    if not chosen.dry_run:
        out = chosen.out or RESULTS["cuda" if torch.cuda.is_available() else "cpu"]
        out.write_text(json.dumps(document, indent=1) + "\n", encoding="utf-8")
    failed = [row["configuration"] for row in document["rows"] if "failed" in row]
    if failed:
        sys.exit(f"failed: {'; '.join(failed)}")


if __name__ == "__main__":
    main()
