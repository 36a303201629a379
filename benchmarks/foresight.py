"""Foreseen against measured: memory and time of real steps: `python -m benchmarks.foresight`.

A base of 39 million random weights in Qwen2's form (on a GPU those of Qwen2.5-0.5B and 1.5B) is stepped in
configurations that differ in layout, rank, quantization, recomputation, optimizer and length, each in a process of its
own. Of each: the peak of the bytes in use, as a rehearsal foresees it and as it was (`live_memory.py` on a CPU, the
allocator's own count on a GPU), the growth of the process's resident memory, and the seconds of a step. Machines change
their speed within minutes, by a tenth and more: the calibration is taken before the steps and again after them, and the
mean of what the two foresee is compared. The samples have the lengths of the benchmark mixture.
"""

from __future__ import annotations

import argparse
import json
import resource
import subprocess
import sys
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from importlib.metadata import version
from pathlib import Path
from statistics import fmean, median
from tempfile import TemporaryDirectory
from typing import Any

import torch

from benchmarks.live_memory import LiveMemory
from lexitrain.models import attach_adapter, compute_dtype, load_base
from lexitrain.models.architecture import Architecture, architecture_of
from lexitrain.planning.devices.calibration import Calibration
from lexitrain.planning.devices.measurement import calibrate
from lexitrain.planning.estimate.mixture import profile_samples
from lexitrain.planning.rehearsal.rehearse import rehearse
from lexitrain.planning.rehearsal.target import Target
from lexitrain.recipe.schema import Recipe
from lexitrain.recipe.yaml_file import load_recipe
from lexitrain.step import TrainingStep, build_optimizer, keep_freed_memory

RESULT = Path(__file__).parent / "results" / "foresight.json"
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
    "step.layout=padded data.max_length=768 step.micro_batch=4 step.gradient_checkpointing=always",
)
GPU = tuple(
    each for base in ("Qwen/Qwen2.5-0.5B", "Qwen/Qwen2.5-1.5B") for each in _on(base, *_GPU_LINES)
)


def architecture(base: str) -> Architecture:
    """The small shape, or a built-in one."""
    return Architecture("small", SMALL) if base == "small" else architecture_of(base)


def real_step(shape: Architecture, recipe: Recipe, device: torch.device) -> TrainingStep:
    """The product's step on random weights, loaded by the product."""
    from transformers import AutoModelForCausalLM

    dtype = compute_dtype("auto", device)
    with TemporaryDirectory() as folder:
        AutoModelForCausalLM.from_config(shape.transformers_config(), dtype=dtype).save_pretrained(
            folder
        )
        settings = recipe.model.model_copy(update={"base": folder})
        base = load_base(settings, device=device, dtype=dtype)
    model = attach_adapter(base, recipe.lora, recipe.seed)
    optimizer = build_optimizer(model.named_parameters(), recipe.optimizer)
    return TrainingStep(
        model, optimizer, recipe.step, max_length=recipe.data.max_length, pad_id=0, clip=1.0
    )


def target_at_hand(device: torch.device, recipe: Recipe) -> Target:
    """The kind of the device."""
    capability = torch.cuda.get_device_capability(device) if device.type == "cuda" else None
    return Target.of("auto", capability, recipe.step.attention)


def measure(configuration: Configuration) -> dict[str, Any]:
    """One configuration in this process: foreseen and measured, and the operations for the time."""
    device = torch.device("cuda" if torch.cuda.is_available() else "cpu")
    recipe = load_recipe("fast", list(configuration.settings))
    shape = architecture(configuration.base)
    samples = profile_samples(SAMPLES, max_length=recipe.data.max_length, tasks=recipe.data.tasks)
    if device.type == "cpu":
        keep_freed_memory()
    before = _resident()
    step = real_step(shape, recipe, device)
    batches = step.lay_out(samples)
    rehearsal = rehearse(shape, recipe, target_at_hand(device, recipe), batches)
    supervised = sum(batch.supervised_tokens for batch in batches)

    def once() -> None:
        step.accumulate(batches, supervised)
        step.update(1e-4)
        if device.type == "cuda":
            torch.cuda.synchronize()

    once()
    seconds = [_timed(once) for _ in range(REPEATS)]
    grown = _resident() - before
    return {
        "configuration": configuration.name,
        "cuts": [[cut.rows, cut.length, cut.scored] for cut in rehearsal.cuts],
        "foreseen_bytes": rehearsal.memory.peak,
        "parts": rehearsal.memory.parts(),
        "measured_bytes": _peak(step, once, device),
        "resident_growth_bytes": grown,
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


def _resident() -> int:
    """Largest resident memory of this process so far."""
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024


def with_time(row: dict[str, Any], calibrations: Sequence[Calibration]) -> dict[str, Any]:
    """The row with what each calibration foresees for its operations, their mean, and both errors."""
    from lexitrain.planning.rehearsal.rehearsed_step import Work

    operations = [Work(*each) for each in row.pop("operations")]
    by_each = [calibration.rates().seconds(operations) for calibration in calibrations]
    foreseen = fmean(by_each)
    return row | {
        "foreseen_before_and_after": [round(seconds, 4) for seconds in by_each],
        "foreseen_seconds": round(foreseen, 4),
        "measured_seconds": round(row["measured_seconds"], 4),
        "memory_error": round(row["foreseen_bytes"] / row["measured_bytes"] - 1, 4),
        "time_error": round(foreseen / row["measured_seconds"] - 1, 4),
    }


def _calibrated() -> Calibration:
    return calibrate(lambda what: print(f"calibrating: {what}", file=sys.stderr))


def main() -> None:
    """Calibrate, step every configuration in a process of its own, calibrate again, compare, save."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--one", type=int, help="only this configuration, as JSON")
    arguments = parser.parse_args()
    configurations = GPU if torch.cuda.is_available() else CPU
    if arguments.one is not None:
        print(json.dumps(measure(configurations[arguments.one])))
        return
    calibrations = [_calibrated()]
    measured: list[dict[str, Any]] = []
    for number in range(len(configurations)):
        command = [sys.executable, "-m", "benchmarks.foresight", "--one", str(number)]
        done = subprocess.run(command, check=True, capture_output=True, text=True)
        measured.append(json.loads(done.stdout.splitlines()[-1]))
        print(
            f"{measured[-1]['measured_seconds']:8.2f} s  {configurations[number].name}", flush=True
        )
    calibrations.append(_calibrated())
    rows = [with_time(row, calibrations) for row in measured]
    for row in rows:
        print(f"{row['memory_error']:+8.1%} {row['time_error']:+8.1%}  {row['configuration']}")
    document = {
        "what": "peak bytes in use and seconds of a step, foreseen and measured",
        "device": calibrations[0].device,
        "date": datetime.now(UTC).date().isoformat(),
        "versions": {
            name: version(name) for name in ("torch", "transformers", "peft", "bitsandbytes")
        },
        "worst_memory_error": max(abs(row["memory_error"]) for row in rows),
        "worst_time_error": max(abs(row["time_error"]) for row in rows),
        "rows": rows,
    }
    RESULT.write_text(json.dumps(document, indent=1) + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
