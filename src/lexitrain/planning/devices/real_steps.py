"""Real training steps of the product's own code, with random weights: what a device is measured by.

Ten of them tell how long each kind of work takes within a step; one, whose work is next to nothing, how long starting
an operation takes.
"""

from __future__ import annotations

from dataclasses import dataclass
from statistics import median
from time import perf_counter
from typing import TYPE_CHECKING, Any

import torch

from lexitrain.errors import number_of
from lexitrain.models import Architecture, architecture_of, attach_adapter
from lexitrain.planning.rehearsal.cut_shape import CutShape, blank_micro_batch
from lexitrain.planning.rehearsal.rehearse import rehearse
from lexitrain.planning.rehearsal.target import Target
from lexitrain.recipe import LoraSection, OptimizerSection, Recipe, StepSection
from lexitrain.step import TrainingStep, build_optimizer

if TYPE_CHECKING:
    from lexitrain.planning.rehearsal.rehearsed_step import Work

_STEP_REPEATS = 3
_LAUNCH_REPEATS = 7
_LAUNCH_BASE = "Qwen/Qwen2.5-0.5B"
_NARROWER = 16
"""On a CPU that base has this part of its widths: its depth and its operations are left, and next to no work."""


@dataclass(frozen=True, slots=True)
class Probe:
    """A model shape and the cut of a step that is run for real.

    Attributes:
        hidden, inner, layers: widths and depth of a base in Qwen2's form.
        cut: the step's only micro-batch.
        rank: of the adapter.
    """

    hidden: int
    inner: int
    layers: int
    cut: CutShape
    rank: int = 16


def _in_blocks(length: int, *, scored: int, before: int = 0) -> CutShape:
    """One row in blocks of 128 queries, each of which sees itself and up to `before` columns more."""
    starts = range(0, length, 128)
    return CutShape(1, length, scored, tuple((128, 128 + min(start, before)) for start in starts))


CPU_PROBES = (
    Probe(384, 1024, 4, _in_blocks(128, scored=32)),
    Probe(384, 1024, 4, _in_blocks(512, scored=128, before=64)),
    Probe(384, 1024, 8, _in_blocks(256, scored=256)),
    Probe(384, 1024, 4, CutShape(4, 192, 768)),
    Probe(512, 1536, 4, _in_blocks(384, scored=96), rank=32),
    Probe(512, 1536, 6, _in_blocks(1536, scored=384, before=256), rank=64),
    Probe(768, 2048, 4, _in_blocks(256, scored=64), rank=8),
    Probe(768, 2048, 4, _in_blocks(640, scored=160)),
    Probe(768, 2048, 2, CutShape(4, 256, 1024)),
    Probe(640, 1792, 4, _in_blocks(1024, scored=256, before=512)),
)
GPU_PROBES = (
    Probe(896, 4864, 6, CutShape(1, 256, 64)),
    Probe(896, 4864, 6, CutShape(1, 512, 128)),
    Probe(896, 4864, 12, CutShape(1, 1024, 256)),
    Probe(896, 4864, 6, CutShape(1, 2048, 512)),
    Probe(896, 4864, 6, CutShape(4, 512, 2048)),
    Probe(896, 4864, 6, CutShape(8, 512, 4096), rank=32),
    Probe(1536, 8960, 4, CutShape(1, 512, 128), rank=48),
    Probe(1536, 8960, 4, CutShape(1, 1024, 256)),
    Probe(1536, 8960, 8, CutShape(1, 2048, 512)),
    Probe(1536, 8960, 4, CutShape(2, 768, 1536), rank=48),
)
HEAD_SIZE = 64
_VOCABULARY = {"cpu": 8_192, "cuda": 151_936}
"""Of the probes: Qwen2.5's on a GPU; on a CPU a small one, so that the head does not take most of a small step."""


def timed_step(
    probe: Probe, target: Target, device: torch.device, dtype: torch.dtype
) -> tuple[float, tuple[Work, ...]]:
    """Seconds of a training step with random weights, and the operations that its rehearsal lists."""
    architecture = _shape_of(probe, device.type)
    recipe = _recipe(probe.rank)
    step = real_step(architecture, recipe, device, dtype)
    batch = blank_micro_batch(probe.cut)

    def once() -> None:
        step.accumulate([batch], probe.cut.scored)
        step.update(0.0)

    once()
    found = []
    for _ in range(_STEP_REPEATS):
        start = perf_counter()
        once()
        _wait(device)
        found.append(perf_counter() - start)
    return median(found), rehearse(architecture, recipe, target, (probe.cut,)).operations


def launch_seconds(target: Target, device: torch.device, dtype: torch.dtype) -> float:
    """Seconds that starting one operation takes within a training step, Python and autograd included.

    Of a cut of Qwen2.5-0.5B so short that its work is next to nothing: the host's time for its forward and backward
    pass over the operations that its rehearsal counts. On a GPU the clock stops when the last one is started, not when
    it is done: the host runs ahead of the device.

    Args:
        target: the device as rehearsals know it.
        device, dtype: where, and in which precision, it is computed.
    """
    base, length = architecture_of(_LAUNCH_BASE), 64
    if device.type == "cpu":
        base, length = _narrow(base), 16
    blocks = ((length, length),) if target.attention == "blocks" else ()
    cut = CutShape(1, length, length // 4, blocks)
    recipe = _recipe(rank=16)
    step, batch = real_step(base, recipe, device, dtype), blank_micro_batch(cut)

    def started() -> float:
        _wait(device)
        start = perf_counter()
        step.accumulate([batch], cut.scored)
        return perf_counter() - start

    started()
    seconds = median(started() for _ in range(_LAUNCH_REPEATS))
    _wait(device)
    operations = rehearse(base, recipe, target, (cut,)).operations
    return seconds / sum(work.launches for work in operations if work.phase != "update")


def _narrow(base: Architecture) -> Architecture:
    widths = ("hidden_size", "intermediate_size", "vocab_size")
    return Architecture(
        f"{base.name}, narrow",
        {**base.config, **{name: base.config[name] // _NARROWER for name in widths}},
    )


def _wait(device: torch.device) -> None:
    if device.type == "cuda":
        torch.cuda.synchronize()


def _recipe(rank: int) -> Recipe:
    return Recipe(
        lora=LoraSection(rank=rank, alpha=2.0 * rank),
        step=StepSection(layout="packed", gradient_checkpointing="never"),
        optimizer=OptimizerSection(name="adamw"),
    )


def real_step(
    architecture: Architecture, recipe: Recipe, device: torch.device, dtype: torch.dtype
) -> TrainingStep:
    """The product's step on a base of this shape with random weights."""
    from transformers import AutoModelForCausalLM

    config = architecture.transformers_config()
    with torch.device(device):
        base: Any = AutoModelForCausalLM.from_config(
            config, dtype=dtype, attn_implementation="sdpa"
        )
    model = attach_adapter(base.requires_grad_(False).eval(), recipe.lora, recipe.seed, begin=False)
    return TrainingStep(
        model,
        build_optimizer(model.named_parameters(), recipe.optimizer),
        recipe.step,
        max_length=recipe.data.max_length,
        pad_id=0,
        clip=recipe.optimizer.clip,
    )


def _shape_of(probe: Probe, kind: str) -> Architecture:
    heads = probe.hidden // HEAD_SIZE
    return Architecture(
        f"{number_of(probe.layers, 'layer')} of {probe.hidden}",
        {
            "model_type": "qwen2",
            "vocab_size": _VOCABULARY[kind],
            "hidden_size": probe.hidden,
            "intermediate_size": probe.inner,
            "num_hidden_layers": probe.layers,
            "num_attention_heads": heads,
            "num_key_value_heads": 2,
            "tie_word_embeddings": True,
        },
    )
