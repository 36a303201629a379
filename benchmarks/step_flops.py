"""Arithmetic of one optimizer step, recipe against recipe: `python -m benchmarks.step_flops`.

What is counted: the product's own model, adapter and training step, run on fake tensors of the exact shapes (no
weights, no GPU), every matrix product and every attention kernel, forward and backward, recomputation included.
Element-wise work is not counted. A fused attention kernel's backward pass counts five products, as it computes the
scores again.

Attention is counted under a dense mask, as a T4 computes it, and cut for it; a CPU's blocks compute less.

On which data: the benchmark mixture (`benchmarks/mixture.py`) with Qwen's real vocabulary, all its steps of 24 samples.

How it is fast: with B rows of L positions, S scored positions and n layers, a micro-batch's arithmetic is exactly
`(a0 + a1 n) B L + (b0 + b1 n) B L^2 + c S`. The five coefficients are traced with two and four layers; the result is
compared with a trace of a whole step at full depth, which must agree to the last operation.
"""

from __future__ import annotations

import json
import platform
import time
from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import partial
from importlib.metadata import version
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch._subclasses.fake_tensor import FakeTensorMode
from torch.utils.flop_counter import FlopCounterMode
from transformers import Qwen2Config, Qwen2ForCausalLM

from benchmarks.mixture import benchmark_mixture
from benchmarks.qwen_vocabulary import qwen_tokenizer
from lexitrain.batching.micro_batch import MicroBatch
from lexitrain.models import attach_adapter
from lexitrain.planning.rehearsal.cut_shape import CutShape, blank_micro_batch
from lexitrain.planning.rehearsal.kernels import UNCOUNTED_FLOPS
from lexitrain.recipe.schema import Recipe
from lexitrain.recipe.yaml_file import load_recipe
from lexitrain.samples.rendering import Renderer
from lexitrain.samples.sample import Sample
from lexitrain.step import TrainingStep
from lexitrain.tasks import registry

RESULT = Path(__file__).parent / "results" / "step_flops.json"
MEAN_LENGTHS = (60, 80, 100, 122, 150, 200, 250, 300, 350, 400, 450, 500)
CURVE_STEPS = 100
SHARED_CONFIG = {"vocab_size": 151_936, "num_key_value_heads": 2, "tie_word_embeddings": True}
SHAPES: dict[str, dict[str, int]] = {
    "Qwen/Qwen2.5-0.5B-Instruct": {
        "hidden_size": 896,
        "num_hidden_layers": 24,
        "num_attention_heads": 14,
        "intermediate_size": 4864,
    },
    "Qwen/Qwen2.5-1.5B-Instruct": {
        "hidden_size": 1536,
        "num_hidden_layers": 28,
        "num_attention_heads": 12,
        "intermediate_size": 8960,
    },
}
WITHOUT_RECOMPUTATION = ["step.gradient_checkpointing=never"]


def traced_step(recipe: Recipe, layers: int) -> TrainingStep:
    """The product's step on fake tensors; call it and use it inside a FakeTensorMode."""
    config = Qwen2Config(
        **(SHARED_CONFIG | SHAPES[recipe.model.base] | {"num_hidden_layers": layers}),
        attn_implementation="sdpa",
    )
    with torch.device("meta"):
        model = attach_adapter(Qwen2ForCausalLM(config).requires_grad_(False), recipe.lora, 0)
    _materialize(model)
    # The update is no matrix arithmetic, so that any optimizer serves.
    optimizer = torch.optim.SGD([p for p in model.parameters() if p.requires_grad])
    return TrainingStep(
        model, optimizer, recipe.step, max_length=recipe.data.max_length, pad_id=0, clip=1.0
    )


def _materialize(model: torch.nn.Module) -> None:
    """Replace what is on `meta` by empty tensors, which inside a FakeTensorMode are fake; tied ones once."""
    made: dict[int, torch.Tensor] = {}
    for module in model.modules():
        for store in (module._parameters, module._buffers):
            for name, tensor in store.items():
                if tensor is not None and id(tensor) not in made:
                    empty = torch.empty(tensor.shape, dtype=tensor.dtype, device="cpu")
                    trainable = isinstance(tensor, torch.nn.Parameter)
                    made[id(tensor)] = (
                        torch.nn.Parameter(empty, tensor.requires_grad) if trainable else empty
                    )
                if tensor is not None:
                    store[name] = made[id(tensor)]


def count(step: TrainingStep, batches: Sequence[MicroBatch]) -> int:
    """Operations of the micro-batches' forward and backward passes."""
    with FlopCounterMode(display=False, custom_mapping=UNCOUNTED_FLOPS) as counter:
        step.accumulate(batches, supervised=1)
    return counter.get_total_flops()


@dataclass(frozen=True)
class Arithmetic:
    """Operations of a micro-batch as a function of its shape, for one recipe."""

    per_position: int
    per_cell: int
    per_scored: int

    @classmethod
    def traced(cls, recipe: Recipe) -> Arithmetic:
        """Trace two shallow models and extend them to the recipe's depth."""
        shallow = [cls._at_depth(recipe, layers) for layers in (2, 4)]
        depth = SHAPES[recipe.model.base]["num_hidden_layers"]

        def extended(field: str) -> int:
            two, four = (getattr(fit, field) for fit in shallow)
            return two + (depth - 2) * (four - two) // 2

        return cls(extended("per_position"), extended("per_cell"), extended("per_scored"))

    @classmethod
    def _at_depth(cls, recipe: Recipe, layers: int) -> Arithmetic:
        with FakeTensorMode(allow_non_fake_inputs=True):
            step = traced_step(recipe, layers)
            short, double, more = (
                count(step, [blank_micro_batch(CutShape(1, length, scored))])
                for length, scored in ((64, 8), (128, 8), (64, 16))
            )
        per_scored = (more - short) // 8
        short, double = short - 8 * per_scored, double - 8 * per_scored
        per_cell = (double - 2 * short) // (128**2 - 2 * 64**2)
        return cls((short - per_cell * 64**2) // 64, per_cell, per_scored)

    def of(self, batches: Sequence[MicroBatch]) -> int:
        """Operations of a step."""
        return sum(
            self.per_position * batch.tokens.size
            + self.per_cell * batch.tokens.size * batch.tokens.shape[1]
            + self.per_scored * len(batch.predict)
            for batch in batches
        )


@dataclass(frozen=True)
class Contender:
    """A recipe, laid out and counted."""

    recipe: Recipe
    arithmetic: Arithmetic
    step: TrainingStep  # of one layer, for its layout

    @classmethod
    def of(cls, name: str, overrides: Sequence[str] = ()) -> Contender:
        """The shipped recipe with overrides, under a dense mask as on a T4."""
        recipe = load_recipe(name, [*overrides, "step.attention=dense"])
        with FakeTensorMode(allow_non_fake_inputs=True):
            step = traced_step(recipe, 1)
        return cls(recipe, Arithmetic.traced(recipe), step)

    def measure(self, samples: Sequence[Sample], steps: int | None = None) -> dict[str, float]:
        """Means over the steps: TFLOP, positions, scored positions, cuts."""
        size = self.recipe.step.effective_batch
        count = min(steps or len(samples), len(samples) // size)
        laid = [self.step.lay_out(samples[n * size : (n + 1) * size]) for n in range(count)]
        operations = [self.arithmetic.of(batches) for batches in laid]
        return {
            "tflop": round(float(np.mean(operations)) / 1e12, 4),
            "tflop_p10": round(float(np.percentile(operations, 10)) / 1e12, 4),
            "tflop_p90": round(float(np.percentile(operations, 90)) / 1e12, 4),
            "positions": round(float(np.mean([sum(b.tokens.size for b in s) for s in laid])), 1),
            "scored": round(float(np.mean([sum(len(b.predict) for b in s) for s in laid])), 1),
            "cuts": round(float(np.mean([len(s) for s in laid])), 2),
            "steps": count,
        }


def rendered(max_length: int) -> list[Sample]:
    """The mixture as samples of the product's own prompts."""
    tasks = registry()
    renderer = Renderer(qwen_tokenizer(), tasks, max_length)
    return renderer.render_all(benchmark_mixture(), on_unfit=lambda _row, _reason: None)


def lengths_of(samples: Sequence[Sample]) -> dict[str, float]:
    """Sample lengths in tokens."""
    lengths = np.array([len(sample) for sample in samples])
    percentiles = {f"p{p}": round(float(np.percentile(lengths, p)), 1) for p in (50, 90, 95, 99)}
    answers = float(np.mean([len(sample.completion_ids) for sample in samples]))
    return {"mean": round(float(lengths.mean()), 1), **percentiles, "completion": round(answers, 1)}


def instruction_lengths(samples: Sequence[Sample]) -> dict[str, int]:
    """For each task, the tokens with which all its prompts begin: the instruction."""
    lengths: dict[str, int] = {}
    for task in {sample.task for sample in samples}:
        prompts = sorted(s.prompt_ids.tolist() for s in samples if s.task == task)
        first, last = prompts[0], prompts[-1]
        pairs = enumerate(zip(first, last, strict=False))
        lengths[task] = next((n for n, (a, b) in pairs if a != b), min(len(first), len(last)))
    return lengths


def stretched(sample: Sample, instruction: int, factor: float, max_length: int) -> Sample:
    """The sample with its own text and its answer `factor` times as long, by repetition; the instruction stays.

    The last tokens of the prompt (the end of turn and the assistant header) stay last. A sample that grows beyond
    `max_length` loses text of its own, as in rendering.
    """
    header = sample.prompt_ids[-5:]
    own = sample.prompt_ids[instruction:-5]
    answer = np.resize(sample.completion_ids, max(1, round(len(sample.completion_ids) * factor)))
    answer = answer[: max_length - instruction - len(header) - 1]
    room = max_length - instruction - len(header) - len(answer)
    text = np.resize(own, min(round(len(own) * factor), room)) if len(own) else own
    prompt = np.concatenate([sample.prompt_ids[:instruction], text, header])
    return replace(
        sample,
        prompt_ids=prompt.astype(np.int32),
        completion_ids=answer.astype(np.int32),
        supervised=np.ones(len(answer), dtype=bool),
    )


def with_mean(samples: Sequence[Sample], mean: float, max_length: int) -> list[Sample]:
    """All samples stretched by the factor that gives them this mean length, found by bisection."""
    instructions = instruction_lengths(samples)

    def all_stretched(factor: float) -> list[Sample]:
        stretch = partial(stretched, factor=factor, max_length=max_length)
        return [
            stretch(sample, min(instructions[sample.task], len(sample.prompt_ids) - 5))
            for sample in samples
        ]

    low, high = 0.0, 64.0
    for _ in range(14):
        middle = (low + high) / 2
        found = float(np.mean([len(sample) for sample in all_stretched(middle)]))
        low, high = (middle, high) if found < mean else (low, middle)
    return all_stretched(high)


def curve(samples: Sequence[Sample], contenders: dict[str, Contender]) -> list[dict[str, float]]:
    """The ratios over mean sample length, at the recipes' own max_length."""
    notebook, fast, packed = (contenders[name] for name in ("notebook", "fast", "fast, packed"))
    few = samples[: CURVE_STEPS * fast.recipe.step.effective_batch]
    points: list[dict[str, float]] = []
    for mean in MEAN_LENGTHS:
        scaled = with_mean(few, mean, fast.recipe.data.max_length)
        old, new, side = (c.measure(scaled)["tflop"] for c in (notebook, fast, packed))
        points.append(
            {
                "mean_length": lengths_of(scaled)["mean"],
                "p90": lengths_of(scaled)["p90"],
                "notebook_tflop": old,
                "fast_tflop": new,
                "notebook_over_fast": round(old / new, 2),
                "packed_over_tree": round(side / new, 2),
            }
        )
    return points


def full_depth_check(contender: Contender, samples: Sequence[Sample]) -> dict[str, int]:
    """One whole step traced at full depth, beside the extended count. They must be equal."""
    recipe = contender.recipe
    batches = contender.step.lay_out(samples[: recipe.step.effective_batch])
    with FakeTensorMode(allow_non_fake_inputs=True):
        step = traced_step(recipe, SHAPES[recipe.model.base]["num_hidden_layers"])
        traced = count(step, batches)
    extended = contender.arithmetic.of(batches)
    if traced != extended:
        raise AssertionError(f"{recipe.name}: traced {traced}, extended {extended}")
    return {"traced": traced, "extended": extended}


def main() -> None:
    """Count, check, print and save."""
    start = time.perf_counter()
    small = {
        "notebook": Contender.of("notebook"),
        "notebook, no recomputation": Contender.of("notebook", WITHOUT_RECOMPUTATION),
        "fast, packed": Contender.of("fast", ["step.layout=packed"]),
        "fast, one cut": Contender.of("fast", ["step.micro_batch=24"]),
        "fast": Contender.of("fast"),
    }
    large = {"slow": Contender.of("slow"), "best": Contender.of("best")}
    samples = {512: rendered(512), 768: rendered(768)}
    rows = {
        name: contender.measure(samples[contender.recipe.data.max_length])
        for name, contender in (small | large).items()
    }
    ratios = {
        "notebook / fast": rows["notebook"]["tflop"] / rows["fast"]["tflop"],
        "notebook, no recomputation / fast": rows["notebook, no recomputation"]["tflop"]
        / rows["fast"]["tflop"],
        "packed / fast": rows["fast, packed"]["tflop"] / rows["fast"]["tflop"],
        "slow / best": rows["slow"]["tflop"] / rows["best"]["tflop"],
        "notebook x 4 epochs / best x 7 epochs": 4
        * rows["notebook"]["tflop"]
        / (7 * rows["best"]["tflop"]),
    }
    document = {
        "what": "operations of one optimizer step of 24 samples: matrix products and attention, forward and backward",
        "versions": {
            "python": platform.python_version(),
            **{name: version(name) for name in ("torch", "transformers", "peft", "lexitrain")},
        },
        "lengths": {str(limit): lengths_of(found) for limit, found in samples.items()},
        "steps": rows,
        "ratios": {name: round(ratio, 2) for name, ratio in ratios.items()},
        "curve": {
            "how": "the tokens after a task's common instruction, and the answer, made longer or shorter by one "
            "factor for all samples (by repetition); max_length stays 512, as in both recipes",
            "points": curve(samples[512], small),
        },
        "full_depth_check": {
            name: full_depth_check(
                (small | large)[name], samples[(small | large)[name].recipe.data.max_length]
            )
            for name in ("notebook", "fast", "best")
        },
        "seconds": round(time.perf_counter() - start, 1),
    }
    RESULT.write_text(json.dumps(document, indent=2) + "\n", encoding="utf-8")
    show(document)


def show(document: dict[str, Any]) -> None:
    """Print the saved figures as tables."""
    print(f"{'one step of 24 samples':32} {'TFLOP':>8} {'positions':>10} {'scored':>8} {'cuts':>6}")
    for name, row in document["steps"].items():
        print(
            f"{name:32} {row['tflop']:8.2f} {row['positions']:10.0f} {row['scored']:8.0f} {row['cuts']:6.1f}"
        )
    for name, ratio in document["ratios"].items():
        print(f"{name:45} {ratio:6.2f}")
    print(f"{'mean length':>12} {'p90':>6} {'notebook / fast':>16} {'packed / tree':>14}")
    for point in document["curve"]["points"]:
        print(
            f"{point['mean_length']:12.0f} {point['p90']:6.0f} "
            f"{point['notebook_over_fast']:16.2f} {point['packed_over_tree']:14.2f}"
        )


if __name__ == "__main__":
    main()
