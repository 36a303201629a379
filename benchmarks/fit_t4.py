"""The share of its peak that a T4 reaches in training, from a published run: `python -m benchmarks.fit_t4`.

The run: TinyLlama-1.1B in 4 bits with LoRA of rank 32 on seven projections, 3,000 rows packed to 4,096 tokens, two
rows a micro-batch, 5,034.6 s on a free T4, as the outputs of a widely used notebook show. Its work is rehearsed with
the product's own step, and the share is the one with which the same model of time that plans use foresees those
seconds.

Three things about that run are not known and are varied, which gives the range: whether it recomputed activations
(its peak of 13.5 GB fits neither case clearly); how much of the element-wise traffic its fused kernels saved (none,
or half); and its attention skipped what a causal mask hides, so that half of the dense mask's arithmetic is counted.

A second published run (LFM2-1.2B, 60 steps of 8 samples, 220.8 s) is not used: its samples' lengths are not stated,
and a time without a token count says nothing about a rate. The team's own hours are not used either: they are what
plans for the T4 are compared with.
"""

from __future__ import annotations

import itertools
import json
from collections.abc import Sequence
from dataclasses import replace
from datetime import UTC, datetime
from importlib.metadata import version
from pathlib import Path
from statistics import geometric_mean
from typing import Any

from lexitrain.models.architecture import Architecture
from lexitrain.planning.devices.catalogue import Gpu, find_gpu
from lexitrain.planning.devices.rates import catalogue_rates
from lexitrain.planning.estimate.step_costs import step_costs
from lexitrain.planning.rehearsal.cut_shape import CutShape
from lexitrain.planning.rehearsal.rehearsed_step import Work
from lexitrain.planning.rehearsal.target import Target
from lexitrain.recipe.yaml_file import load_recipe

RESULT = Path(__file__).parent / "results" / "fit_t4.json"
TINY_LLAMA = Architecture(
    "TinyLlama-1.1B",
    {
        "model_type": "llama",
        "vocab_size": 32_000,
        "hidden_size": 2048,
        "intermediate_size": 5632,
        "num_hidden_layers": 22,
        "num_attention_heads": 32,
        "num_key_value_heads": 4,
        "tie_word_embeddings": False,
    },
)
SECONDS = 5034.6
ROWS, LENGTH, MICRO_BATCH, ACCUMULATION = 3000, 4096, 2, 4


def main() -> None:
    """Fit each variant, print, save."""
    variants = [
        {"recomputation": recomputation, "traffic": traffic, "fraction": fitted(recomputation, traffic)}
        for recomputation, traffic in itertools.product(("never", "always"), (1.0, 0.5))
    ]  # fmt: skip
    fractions = [each["fraction"] for each in variants]
    document = {
        "command": "python -m benchmarks.fit_t4",
        "date": datetime.now(UTC).date().isoformat(),
        "versions": {name: version(name) for name in ("torch", "transformers", "peft")},
        "run": f"TinyLlama-1.1B, NF4, rank 32, {ROWS} rows of {LENGTH} tokens, {SECONDS} s on a T4, published",
        "variants": [each | {"fraction": round(each["fraction"], 4)} for each in variants],
        "fraction": [
            round(each, 2) for each in (min(fractions), geometric_mean(fractions), max(fractions))
        ],
    }
    RESULT.write_text(json.dumps(document, indent=2) + "\n", encoding="utf-8")
    print(json.dumps(document, indent=2))


def fitted(recomputation: str, traffic: float) -> float:
    """The share of the peak with which the run takes as long as it took.

    Args:
        recomputation: of activations, `never` or `always`.
        traffic: share of the element-wise traffic that its kernels did not save.
    """
    recipe = load_recipe(
        "notebook",
        ["lora.rank=32", "lora.dropout=0", f"data.max_length={LENGTH}", "step.micro_batch=2",
         "optimizer.name=adamw_8bit", f"step.gradient_checkpointing={recomputation}"],
    )  # fmt: skip
    gpu = find_gpu("T4")
    costs = step_costs(TINY_LLAMA, recipe, Target.of("auto", gpu.capability))
    cut = costs.operations(CutShape(MICRO_BATCH, LENGTH, MICRO_BATCH * LENGTH))
    works = [as_they_ran(work, traffic) for work in cut]
    low, high = 0.01, 0.99
    for _ in range(40):
        middle = (low + high) / 2
        if seconds(gpu, middle, works, costs.update) > SECONDS:
            low = middle
        else:
            high = middle
    return (low + high) / 2


def as_they_ran(work: Work, traffic: float) -> Work:
    """The work with a causal kernel's arithmetic and with so much of the element-wise traffic."""
    if work.kind == "attention":
        return replace(work, flops=work.flops / 2)
    if work.kind in {"elementwise", "head"}:
        return replace(work, bytes=traffic * work.bytes, launches=traffic * work.launches)
    return work


def seconds(gpu: Gpu, fraction: float, works: Sequence[Work], update: Sequence[Work]) -> float:
    """Time of the whole run at this share of the peak."""
    rates: Any = catalogue_rates(replace(gpu, fraction=(fraction,) * 3), "fp16", "expected")
    cuts = ROWS / MICRO_BATCH
    return cuts * rates.seconds(works) + cuts / ACCUMULATION * rates.seconds(update)


if __name__ == "__main__":
    main()
