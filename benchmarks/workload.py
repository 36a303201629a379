"""What the timed benchmarks train: a Qwen2 shape that a CPU can step in seconds, on the benchmark mixture.

The shape is that of a small Qwen2.5: 768 hidden, 12 layers, grouped queries, tied embeddings. Its vocabulary is
remapped: the ids that occur in the mixture, numbered anew, in a table of 32,000 rows. So its output head is a quarter
of its parameters, as in Qwen2.5-0.5B (136 of 494 million); with all 151,936 rows it would be more than half, and the
comparison would measure heads. Weights are random with a fixed seed: speed and memory do not depend on what a model
knows.
"""

from __future__ import annotations

import platform
from collections.abc import Sequence
from dataclasses import asdict, dataclass, replace
from datetime import UTC, datetime
from functools import lru_cache
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from benchmarks.mixture import REAL_DATA, benchmark_mixture
from benchmarks.qwen_vocabulary import qwen_tokenizer
from lexitrain.samples.rendering import Renderer
from lexitrain.samples.sample import Sample
from lexitrain.synthetic import generate
from lexitrain.tasks import registry

if TYPE_CHECKING:
    import torch
    from transformers import Qwen2ForCausalLM

    from lexitrain.models.architecture import Architecture

RESULTS = Path(__file__).parent / "results"
STEP_SAMPLES = 24
SEED = 42
_RENDERED = 6000  # records of the mixture, enough for every benchmark
_GENERATED = 2000


@dataclass(frozen=True, slots=True)
class Shape:
    """A Qwen2 decoder with tied embeddings and heads of 64 or 128."""

    hidden: int
    layers: int
    heads: int
    intermediate: int
    vocabulary: int
    key_value_heads: int = 2

    @property
    def decoder_parameters(self) -> int:
        """Weights of the seven projections of all layers."""
        key_value = self.key_value_heads * self.hidden // self.heads
        layer = self.hidden * (2 * self.hidden + 2 * key_value + 3 * self.intermediate)
        return self.layers * layer

    @property
    def head_parameters(self) -> int:
        """Weights of the output head, which is the embedding too."""
        return self.hidden * self.vocabulary

    def architecture(self) -> Architecture:
        """The shape as a plan takes it."""
        from lexitrain.models.architecture import Architecture

        return Architecture(
            "shape",
            {
                "model_type": "qwen2",
                "vocab_size": self.vocabulary,
                "hidden_size": self.hidden,
                "intermediate_size": self.intermediate,
                "num_hidden_layers": self.layers,
                "num_attention_heads": self.heads,
                "num_key_value_heads": self.key_value_heads,
                "max_position_embeddings": 32_768,
                "tie_word_embeddings": True,
            },
        )

    def described(self) -> dict[str, float]:
        """The shape for a result file."""
        total = self.decoder_parameters + self.head_parameters
        return {
            **asdict(self),
            "million_parameters": round(total / 1e6, 1),
            "head_share": round(self.head_parameters / total, 3),
        }


CPU_SHAPE = Shape(768, 12, 12, 2048, 32_000)
NANO_SHAPE = Shape(32, 1, 2, 64, 32_000)
TINY_SHAPE = Shape(64, 2, 4, 128, 32_000)
QWEN_05B = Shape(896, 24, 14, 4864, 151_936)
QWEN_15B = Shape(1536, 28, 12, 8960, 151_936)


def build_base(
    shape: Shape, *, dtype: torch.dtype | None = None, device: str = "cpu"
) -> Qwen2ForCausalLM:
    """The frozen base with random weights: the same numbers in every process."""
    import torch
    from transformers import Qwen2Config, Qwen2ForCausalLM

    config = Qwen2Config(
        vocab_size=shape.vocabulary,
        hidden_size=shape.hidden,
        num_hidden_layers=shape.layers,
        num_attention_heads=shape.heads,
        num_key_value_heads=shape.key_value_heads,
        intermediate_size=shape.intermediate,
        max_position_embeddings=32_768,
        tie_word_embeddings=True,
        bos_token_id=None,
        eos_token_id=0,
        pad_token_id=PAD,
        attn_implementation="sdpa",
    )
    with torch.random.fork_rng(devices=[]), torch.device(device):
        torch.manual_seed(SEED)
        model = Qwen2ForCausalLM(config)
    return model.to(dtype=dtype, device=device).requires_grad_(False)


PAD = 31_999
"""The last row of the smallest vocabulary: no remapped token has it, so no pad is mistaken for a token."""


@lru_cache(maxsize=2)
def rendered_samples(data: str = "mixture", max_length: int = 512) -> list[Sample]:
    """The first records of the benchmark mixture as samples, in its order, their ids remapped.

    Args:
        data: `mixture`, or `generated` for the product's synthetic records, which need no corpora.
        max_length: tokens a sample may have.
    """
    renderer = Renderer(qwen_tokenizer(), registry(), max_length)
    records = (
        benchmark_mixture()[:_RENDERED] if data == "mixture" else list(generate(_GENERATED, SEED))
    )
    return remapped(renderer.render_all(records, on_unfit=lambda _row, _reason: None))


def remapped(samples: Sequence[Sample]) -> list[Sample]:
    """The samples with their ids numbered anew in the order of the old ones, from 0.

    Raises:
        ValueError: more ids than the small vocabulary has.
    """
    used = np.unique(
        np.concatenate([ids for s in samples for ids in (s.prompt_ids, s.completion_ids)])
    )
    if len(used) > PAD:
        raise ValueError(f"{len(used)} ids in use, more than {PAD}")
    return [
        replace(
            sample,
            prompt_ids=np.searchsorted(used, sample.prompt_ids).astype(np.int32),
            completion_ids=np.searchsorted(used, sample.completion_ids).astype(np.int32),
        )
        for sample in samples
    ]


def step_samples(samples: Sequence[Sample], step: int, size: int = STEP_SAMPLES) -> list[Sample]:
    """The samples of a step, for every competitor the same."""
    return list(samples[step * size : (step + 1) * size])


def with_shared_prompt(samples: Sequence[Sample], tokens: int) -> list[Sample]:
    """The samples with `tokens` more in front of each prompt, the same ones for all: longer instructions."""
    rules = np.random.default_rng(SEED).integers(0, 4000, tokens).astype(np.int32)
    return [replace(s, prompt_ids=np.concatenate([rules, s.prompt_ids])) for s in samples]


def described_samples(samples: Sequence[Sample]) -> dict[str, float]:
    """Lengths of the samples, tokens, for a result file."""
    lengths = np.array([len(sample) for sample in samples])
    return {
        "samples": len(samples),
        "mean_length": round(float(lengths.mean()), 1),
        **{f"p{p}": round(float(np.percentile(lengths, p)), 1) for p in (50, 90, 99)},
        "mean_supervised": round(float(np.mean([s.supervised.sum() for s in samples])), 1),
    }


def circumstances(*packages: str) -> dict[str, Any]:
    """Date, versions, device and threads, for a result file."""
    import torch

    versions = {"python": platform.python_version()}
    for package in ("torch", "transformers", "peft", "lexitrain", *packages):
        try:
            versions[package] = version(package)
        except PackageNotFoundError:
            versions[package] = "not installed"
    cuda = torch.cuda.is_available()
    return {
        "date": datetime.now(UTC).strftime("%Y-%m-%d"),
        "versions": versions,
        "device": torch.cuda.get_device_name() if cuda else _processor(),
        "threads": torch.get_num_threads(),
    }


def _processor() -> str:
    """The CPU's name and its number of cores in use."""
    import os

    file = Path("/proc/cpuinfo")
    lines = file.read_text(encoding="utf-8").splitlines() if file.is_file() else []
    names = [line.partition(":")[2].strip() for line in lines if line.startswith("model name")]
    return f"{names[0] if names else platform.processor()}, {len(os.sched_getaffinity(0))} cores"


def real_data_is_there() -> bool:
    """Whether the corpora of the mixture stand beside the checkout."""
    return REAL_DATA.is_dir()
