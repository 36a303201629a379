"""The memory of a run whose cuts are recorded, against steps with a recorder that keeps what a pool of graphs would."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from random import Random
from types import SimpleNamespace
from typing import Any, cast
from weakref import WeakSet

import pytest
import torch
from benchmarks.live_memory import LiveMemory

from lexitrain.models import attach_adapter, load_base
from lexitrain.models.architecture import Architecture, architecture_of
from lexitrain.planning.devices.catalogue import find_gpu
from lexitrain.planning.estimate.peak_memory import peak_memory, with_recordings
from lexitrain.planning.estimate.plan import Plan, make_plan
from lexitrain.planning.estimate.planned_data import mixture_data
from lexitrain.planning.rehearsal.allocator import workspace_bytes
from lexitrain.planning.rehearsal.cut_shape import CutShape, blank_micro_batch
from lexitrain.planning.rehearsal.rehearse import rehearse
from lexitrain.planning.rehearsal.rehearsed_step import Memory
from lexitrain.planning.rehearsal.target import Target
from lexitrain.recipe.schema import Recipe
from lexitrain.recipe.yaml_file import load_recipe
from lexitrain.samples import Sample
from lexitrain.step import TrainingStep, build_optimizer
from lexitrain.step.graphs.cut_graphs import CutGraphs
from lexitrain.step.graphs.recording import Recording, Work
from tests.planning.rehearsal.test_rehearse import shape, state_of, tensors_of

DATA = mixture_data(300)


class Pooled:
    """A replay, which needs no memory but the pool's."""

    def __init__(self, work: Work, memory: LiveMemory) -> None:
        self._work, self._memory = work, memory

    def replay(self) -> None:
        most = self._memory.peak
        self._work()
        self._memory.peak = max(most, self._memory.now)


class PoolRecorder:
    """Holds as much memory as the largest recording needs, as long as one of its recordings lives."""

    def __init__(self, memory: LiveMemory) -> None:
        self._memory = memory
        self._pool: torch.Tensor | None = None
        self._alive: WeakSet[Any] = WeakSet()

    def record(self, work: Work) -> Recording:
        memory = self._memory
        if not self._alive:
            self._pool = None
        most, before = memory.peak, memory.now
        memory.peak = before
        work()
        needed, memory.peak = memory.peak - before, most
        if self._pool is None or needed > len(self._pool):
            self._pool = None
            self._pool = torch.empty(needed, dtype=torch.uint8)
        found = Pooled(work, memory)
        self._alive.add(found)
        return found


def recorded_step(folder: Path, recipe: Recipe, dtype: torch.dtype) -> TrainingStep:
    from transformers import AutoModelForCausalLM

    architecture = shape()
    AutoModelForCausalLM.from_config(architecture.transformers_config()).save_pretrained(folder)
    placed = recipe.model.model_copy(update={"base": str(folder)})
    base = load_base(placed, device="cpu", dtype=dtype)
    model = attach_adapter(base, recipe.lora, recipe.seed)
    optimizer = build_optimizer(model.parameters(), recipe.optimizer)
    return TrainingStep(model, optimizer, recipe.step, max_length=512, pad_id=0, clip=1.0)


def most_in_use(step: TrainingStep, rounds: Sequence[Sequence[CutShape]]) -> int:
    """Most bytes while each of these steps is done five times, with a validation of its cuts before and after."""
    memory = LiveMemory()
    memory.hold(*tensors_of(step.model))
    dtype = next(step.model.get_base_model().parameters()).dtype
    device = torch.device("cpu")
    with memory:
        step.graphs = CutGraphs(
            step._add_gradients, step.adapter, device, dtype, PoolRecorder(memory), step.notes
        )
        step.loss_graphs = step.graphs.of_losses(step._recordable_loss)
        for cuts in rounds:
            batches = [blank_micro_batch(cut) for cut in cuts]
            step.step_layout = cast(Any, SimpleNamespace(lay_out=lambda _, found=batches: found))
            nothing: list[Sample] = []
            for number in range(5):
                step.loss(nothing)
                step.accumulate(batches, 1)
                if not number:
                    memory.hold(*state_of(step.optimizer))
                step.grad_norm = 1.0
                step.update(1e-4)
    assert not step.notes
    assert step.graphs.recorded
    return memory.peak


def plain_memory(
    architecture: Architecture, recipe: Recipe, target: Target, cuts: Sequence[CutShape]
) -> Memory:
    found = [rehearse(architecture, recipe, target, (cut, cut)).memory for cut in cuts]
    return max(found, key=lambda memory: memory.peak)


LARGEST, NEXT, SMALL = CutShape(1, 384, 384), CutShape(1, 384, 380), CutShape(1, 128, 128)


@pytest.mark.parametrize("precision", ["fp32", "bf16"])
@pytest.mark.parametrize(
    ("overrides", "rounds"),
    [
        ((), [[LARGEST], [SMALL], [NEXT]]),
        ((), [[SMALL], [NEXT, SMALL], [LARGEST], [CutShape(1, 384, 376)]]),
        (("step.gradient_checkpointing=always",), [[LARGEST], [NEXT], [SMALL, SMALL]]),
        (("lora.rank=256",), [[CutShape(1, 16, 4)], [CutShape(1, 16, 3)]]),
    ],
)
def test_the_peak_is_that_of_steps_with_a_pool(
    overrides: tuple[str, ...], rounds: list[list[CutShape]], precision: Any, tmp_path: Path
):
    recipe = load_recipe(
        "demo", ["optimizer.name=adamw", "step.graphs=always", "step.attention=dense", *overrides]
    )
    step = recorded_step(
        tmp_path, recipe, {"fp32": torch.float32, "bf16": torch.bfloat16}[precision]
    )
    target = Target("cpu", precision, "dense")
    cuts = [cut for each in rounds for cut in each]
    plain = plain_memory(shape(), recipe, target, cuts)
    planned = with_recordings(plain, cuts, target, recomputes=step.recomputes, pooled=True)
    measured = most_in_use(step, rounds)
    assert 0.98 * planned.peak <= measured <= planned.peak
    assert planned.graphs > 0


def test_by_hand_on_a_gpu():
    recipe = load_recipe("demo", ["step.graphs=always"])
    target = Target.of("auto", (7, 5))
    cuts = [CutShape(1, 512, 128), CutShape(1, 256, 128), CutShape(2, 256, 128)]
    plain = plain_memory(shape(), recipe, target, cuts)
    found = with_recordings(plain, cuts, target, recomputes=False)
    copy = plain.adapter // 2  # two bytes a number instead of four
    cut = plain.activations + plain.logits + plain.workspace - workspace_bytes(target) - copy
    inputs = 2 * 12 * 8 * (3 * 512 + 2 * 128)
    assert found.graphs == cut + 2 * workspace_bytes(target)
    assert found.gradients == plain.gradients + max(plain.gradients, 4 * plain.gradients - cut)
    assert found.activations == plain.activations + inputs
    assert found.peak == sum(found.parts().values())
    # Where layers take their own part of the copy, a validation makes it as a whole.
    again = with_recordings(plain, cuts, target, recomputes=True)
    assert again.activations == found.activations + copy
    assert again.graphs == found.graphs + copy
    # What the driver keeps: three graphs of steps, three of validations, each a third.
    assert found.overhead - plain.overhead == 4 * 24_000_000
    assert found.reserved >= 1.04 * (found.peak - found.graphs) + 1.25 * found.graphs
    # A CPU keeps no pool.
    assert (
        with_recordings(plain, cuts, Target("cpu", "fp32", "dense"), recomputes=False).graphs == 0
    )


def planned(*overrides: str, gpu: str = "T4", limit: float | None = None) -> Plan:
    recipe = load_recipe("fast", ["model.base=nano", *overrides])
    return make_plan(recipe, find_gpu(gpu), DATA, calibrated=False, memory_limit=limit)


@pytest.mark.parametrize("gpu", ["T4", "L4", "CPU"])
@pytest.mark.parametrize(
    "overrides",
    [
        ("step.micro_batch=4",),
        ("step.micro_batch=24", "step.layout=packed"),
        ("step.micro_batch=2", "step.layout=padded", "step.gradient_checkpointing=always"),
        ("step.token_budget=512", "lora.rank=128", "step.head_chunk=64"),
        ("optimizer.name=adamw", "lora.targets=[q_proj, v_proj]", "step.micro_batch=12"),
    ],
)
def test_for_the_same_cuts_a_plan_never_says_less_with_graphs(gpu: str, overrides: tuple[str, ...]):
    """Where cuts are free, cheaper launches may make them shorter, and then less is needed for each."""
    never, always = (
        planned(*overrides, "step.attention=dense", f"step.graphs={each}", gpu=gpu)
        for each in ("never", "always")
    )
    assert always.memory.peak > never.memory.peak
    assert always.memory.device_total > never.memory.device_total
    assert bool(always.memory.graphs) == (gpu != "CPU")
    assert "graphs" not in never.to_json()["memory_gb"]
    if gpu != "CPU":
        assert always.to_json()["memory_gb"]["graphs"] == round(always.memory.graphs / 1e9, 4)


def test_what_is_not_recorded_has_no_pool_but_keeps_its_gradient():
    plan = planned("step.graphs=always", "lora.dropout=0.1")
    assert plan.memory.graphs == 0
    assert plan.memory.gradients == plan.memory.adapter
    alone = peak_memory(
        architecture_of("nano"), plan.recipe, plan.target, [(CutShape(1, 256, 256),)]
    )
    assert alone.gradients == plan.memory.gradients


def test_with_graphs_less_fits_and_what_is_decided_fits():
    """As training asks before it begins: free memory that serves the plain step, but not the pool besides."""
    free = planned("step.graphs=always")
    limit = free.memory.device_total - 1e6
    tight = planned("step.graphs=always", limit=limit)
    plain = planned("step.graphs=never", limit=limit)
    assert plain.choices == planned("step.graphs=never").choices
    assert tight.fits
    assert tight.memory.device_total <= limit
    assert tight.choices != free.choices


@pytest.mark.slow
@pytest.mark.parametrize("seed", range(6))
def test_no_run_of_any_cuts_needs_more_than_is_planned(seed: int, tmp_path: Path):
    """Where no plain cut is nearly as large as the largest recorded one, the plan is above what is needed."""
    rng = Random(seed)
    recipe = load_recipe(
        "demo",
        [
            "optimizer.name=adamw", "step.graphs=always", "step.attention=dense",
            f"step.head_chunk={rng.choice([16, 64, 1024])}", f"lora.rank={rng.choice([4, 16, 64, 200])}",
            f"step.gradient_checkpointing={rng.choice(['never', 'always'])}",
        ],
    )  # fmt: skip
    lengths, scored = [8, 32, 128, 256, 384], [1, 7, 64, 128, 256]
    rounds = [
        [
            CutShape(rng.choice([1, 1, 2, 3]), rng.choice(lengths), rng.choice(scored))
            for _ in range(rng.randint(1, 3))
        ]
        for _ in range(rng.randint(1, 4))
    ]
    step = recorded_step(tmp_path, recipe, torch.float32)
    target = Target("cpu", "fp32", "dense")
    cuts = [cut for each in rounds for cut in each]
    plain = plain_memory(shape(), recipe, target, cuts)
    planned = with_recordings(plain, cuts, target, recomputes=step.recomputes, pooled=True)
    assert plain.peak < most_in_use(step, rounds) <= planned.peak
