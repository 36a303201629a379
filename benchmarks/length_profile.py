"""Lengths of the benchmark mixture, as numbers only: `python -m benchmarks.length_profile`.

`lexitrain plan` uses them when no data are given. Each record of the mixture (`benchmarks/mixture.py`) is rendered
whole with the product's own prompts and the real Qwen vocabulary; what is kept is how long prompts and completions
are, and how many tokens the prompts of one task, and of all tasks, have in common. Nothing of the texts is kept.

The steps that a plan lays out from these numbers are compared with those of the real samples: the tokens of the prefix
tree and of its cuts must agree, or else the numbers do not say enough about what prompts share.
"""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Sequence
from typing import Any

import numpy as np

from benchmarks.mixture import benchmark_mixture
from benchmarks.qwen_vocabulary import qwen_tokenizer
from benchmarks.step_flops import instruction_lengths, lengths_of
from lexitrain.batching.layout import lay_out
from lexitrain.models import load_tokenizer
from lexitrain.planning.estimate.mixture import PROFILE, profile_samples
from lexitrain.samples.rendering import Renderer
from lexitrain.samples.sample import Sample
from lexitrain.tasks import registry

ANY_LENGTH = 1 << 20
STEPS = 200


def main() -> None:
    """Measure, save, compare."""
    records = benchmark_mixture()
    samples, in_nano = (
        Renderer(tokenizer, registry(), ANY_LENGTH).render_all(records)
        for tokenizer in (qwen_tokenizer(), load_tokenizer("nano"))
    )
    document = {
        "what": "tokens of each prompt and completion of the benchmark mixture; see benchmarks/length_profile.py",
        "vocabulary": "qwen.tiktoken (dashscope), Qwen2.5 chat template",
        "samples": len(samples),
        "lengths": lengths_of(samples),
        "nano_tokens_per_token": round(sum(map(len, in_nano)) / sum(map(len, samples)), 4),
        "shared_by_all": common_prefix([s.prompt_ids.tolist() for s in samples]),
        "tasks": {
            task: task_profile(samples, task, shared)
            for task, shared in sorted(instruction_lengths(samples).items())
        },
    }
    PROFILE.write_text(json.dumps(document, separators=(",", ":")) + "\n", encoding="utf-8")
    compare(samples)


def common_prefix(prompts: list[list[int]]) -> int:
    """Tokens with which all of them begin."""
    first, last = min(prompts), max(prompts)
    pairs = enumerate(zip(first, last, strict=False))
    return next((n for n, (a, b) in pairs if a != b), min(len(first), len(last)))


def task_profile(samples: Sequence[Sample], task: str, shared: int) -> dict[str, Any]:
    """How often each pair of prompt and completion length occurs."""
    pairs = Counter((len(s.prompt_ids), len(s.completion_ids)) for s in samples if s.task == task)
    ordered = sorted(pairs)
    return {
        "shared": shared,
        "prompts": [prompt for prompt, _ in ordered],
        "completions": [completion for _, completion in ordered],
        "counts": [pairs[pair] for pair in ordered],
    }


def compare(real: Sequence[Sample]) -> None:
    """Print a step's tokens, of the real samples and of those made from the profile."""
    made = profile_samples(len(real), max_length=ANY_LENGTH)
    draw = np.random.default_rng(0)
    print(f"{'':24} {'real':>8} {'profile':>8}")
    for layout, budget in (("packed", None), ("tree", None), ("tree", 512)):
        found = [mean_tokens(samples, layout, budget, draw) for samples in (real, made)]
        print(f"{layout:10} budget {budget!s:>6} {found[0]:8.0f} {found[1]:8.0f}")


def mean_tokens(samples: Sequence[Sample], layout: Any, budget: int | None, draw: Any) -> float:
    """Mean positions of a step of 24."""
    order = draw.permutation(len(samples))
    tokens = []
    for start in range(0, STEPS * 24, 24):
        step = [samples[index] for index in order[start : start + 24]]
        batches = lay_out(
            step,
            layout=layout,
            loss="completion",
            max_length=ANY_LENGTH,
            pad_id=0,
            token_budget=budget,
        )
        tokens.append(sum(batch.layout_tokens for batch in batches))
    return float(np.mean(tokens))


if __name__ == "__main__":
    main()
