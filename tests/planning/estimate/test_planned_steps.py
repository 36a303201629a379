"""A planned run has the steps that training would take."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from lexitrain.batching import CutCost
from lexitrain.batching.sample_order import SampleOrder
from lexitrain.errors import InputError
from lexitrain.models import attach_adapter
from lexitrain.models.architecture import architecture_of
from lexitrain.planning.devices.catalogue import find_gpu
from lexitrain.planning.estimate.mixture import MIXTURE_SAMPLES, estimated_ids, profile_samples
from lexitrain.planning.estimate.plan import make_plan
from lexitrain.planning.estimate.planned_steps import (
    SPREAD,
    PlannedData,
    PlannedSteps,
    plan_steps,
)
from lexitrain.planning.estimate.step_costs import planned_cut_cost
from lexitrain.planning.rehearsal.cut_shape import shapes_of
from lexitrain.planning.rehearsal.target import Target
from lexitrain.recipe.schema import Recipe
from lexitrain.recipe.yaml_file import load_recipe
from lexitrain.step import TrainingStep, build_optimizer
from lexitrain.step.graphs.cut_graphs import CutForm
from tests.tiny import tiny_model

SAMPLES = profile_samples(500, max_length=512)
DATA = PlannedData(SAMPLES, SAMPLES[:50], "test", exact=False, key="test")


T4, A100 = (7, 5), (8, 0)


def steps_of(recipe: Recipe, capability: tuple[int, int] | None = None) -> PlannedSteps:
    target = Target.of(recipe.model.precision, capability, recipe.step.attention)
    architecture = architecture_of(recipe.model.base)
    cost = CutCost.of_shape(architecture.decoder)
    return plan_steps(recipe, DATA, architecture, target, cost)


@pytest.mark.parametrize("settings", [[], ["step.token_budget=600"], ["step.layout=packed"]])
def test_a_step_is_laid_out_as_training_would(settings: list[str], tmp_path: Path):
    """One step of the plan against the product's own step, on the same base and samples."""
    tiny_model().save_pretrained(tmp_path)
    recipe = load_recipe("fast", [f"model.base={tmp_path}", "optimizer.name=adamw", *settings])
    model = attach_adapter(tiny_model(), recipe.lora, 1)
    cost = CutCost(pair=2e-3, launch=300)
    step = TrainingStep(
        model,
        build_optimizer(model.parameters(), recipe.optimizer),
        recipe.step,
        max_length=recipe.data.max_length,
        pad_id=1,
        clip=1.0,
        cut_cost=cost,
    )
    data = PlannedData(SAMPLES[:24], [], "test", exact=False, key="24")
    target = Target.of("auto", None, recipe.step.attention)
    planned = plan_steps(recipe, data, architecture_of(str(tmp_path)), target, cost)
    order = SampleOrder([s.task for s in data.train], recipe.seed, 24, recipe.schedule.epochs)
    first = [data.train[index] for index in order.samples(0)]
    assert planned.spread[0] == shapes_of(step.lay_out(first))


@pytest.mark.parametrize("seed", range(16))
def test_recorded_cuts_have_the_forms_that_were_planned(seed: int, tmp_path: Path):
    """Of any recipe: each of the spread's steps, by the plan as a run's folder keeps it."""
    rng = np.random.default_rng(seed)

    def one_of(*values: str) -> str:
        return values[int(rng.integers(len(values)))]

    layout = one_of("tree", "packed", "padded")
    batch = int(rng.integers(2, 40))
    limits = ("step.token_budget=auto", f"step.token_budget={int(rng.integers(40, 3000))}",
              f"step.micro_batch={int(rng.integers(1, batch + 1))}")  # fmt: skip
    tiny_model().save_pretrained(tmp_path)
    recipe = load_recipe(
        "fast",
        [
            f"model.base={tmp_path}", "optimizer.name=adamw", "step.graphs=always", one_of(*limits),
            f"step.layout={layout}", f"step.effective_batch={batch}", f"seed={seed}",
            f"step.loss={'completion' if layout == 'tree' else one_of('completion', 'all_tokens')}",
            f"step.bucket={one_of('auto', '1', '24', '128')}", f"step.head_chunk={one_of('7', '64', '1024')}",
            f"step.gradient_checkpointing={one_of('auto', 'always')}", f"schedule.epochs={one_of('1', '3')}",
        ],
    )  # fmt: skip
    plan = make_plan(recipe, find_gpu("CPU"), lambda _: DATA, calibrated=False)
    assert plan.target.attention == "dense"
    model = attach_adapter(tiny_model(), plan.recipe.lora, 1)
    step = TrainingStep(
        model,
        build_optimizer(model.parameters(), plan.recipe.optimizer),
        plan.recipe.step,
        max_length=plan.recipe.data.max_length,
        pad_id=1,
        clip=1.0,
        cut_cost=planned_cut_cost(plan.to_json()),
    )
    tasks = [sample.task for sample in DATA.train]
    order = SampleOrder(tasks, seed, batch, plan.recipe.schedule.epochs)
    numbers = np.unique(np.linspace(0, order.total_steps - 1, SPREAD).round().astype(int))
    trained: set[CutForm] = set()
    for number, planned in zip(numbers.tolist(), plan.steps.spread, strict=True):
        batches = step.lay_out([DATA.train[index] for index in order.samples(number)])
        assert shapes_of(batches) == planned
        trained |= {CutForm.of(each) for each in batches}
    foreseen = {
        (cut.rows, cut.length, cut.scored, cut.windowed)
        for each in plan.steps.spread
        for cut in each
    }
    forms = {(each.rows, each.length, each.scored, each.window is not None) for each in trained}
    assert forms == foreseen
    assert all(form[2] % 128 == 0 for form in forms)


@pytest.mark.parametrize(("capability", "bucket"), [(None, 1), (T4, 16), (A100, 128)])
def test_rows_are_padded_to_the_buckets_of_the_device(
    capability: tuple[int, int] | None, bucket: int
):
    lengths = {
        cut.length for step in steps_of(load_recipe("fast"), capability).spread for cut in step
    }
    assert all(length % bucket == 0 for length in lengths)
    assert any(length % (2 * bucket) for length in lengths)
    given = steps_of(load_recipe("fast", ["step.bucket=96"]), capability)
    assert all(cut.length % 96 == 0 for step in given.spread for cut in step)


def test_the_mixture_keeps_its_proportions():
    few, many = (profile_samples(count, max_length=512) for count in (1000, MIXTURE_SAMPLES))
    share = [np.mean([s.task == "grammar" for s in found]) for found in (few, many)]
    assert share[0] == pytest.approx(6657 / 14250, abs=0.002)
    assert share[1] == pytest.approx(6657 / 14250, abs=0.0005)
    assert np.mean([len(s) for s in many]) == pytest.approx(113, abs=2)


def test_no_sample_is_longer_than_the_limit():
    short = profile_samples(1000, max_length=96)
    assert max(map(len, short)) == 96
    assert any(sample.truncated for sample in short)
    assert {s.task for s in profile_samples(50, max_length=512, tasks=("fluency",))} == {"fluency"}
    with pytest.raises(InputError, match="no task explanation"):
        profile_samples(50, max_length=512, tasks=("explanation",))


def test_steps_are_counted_and_laid_out_as_in_training():
    recipe = load_recipe("fast")
    steps = steps_of(recipe, T4)
    assert steps.steps_per_epoch == -(-500 // 24)
    assert steps.total_steps == 4 * steps.steps_per_epoch
    assert steps.validation_batches == 3
    assert steps.real_tokens > steps.layout_tokens > steps.supervised_tokens > 0
    heaviest = max(sum(cut.positions for cut in step) for step in steps.heaviest)
    assert heaviest >= max(sum(cut.positions for cut in step) for step in steps.spread)
    longest = max(cut.positions for step in steps.heaviest for cut in step)
    assert longest >= max(cut.positions for step in steps.spread for cut in step)


def test_by_blocks_the_longest_micro_batch_is_among_the_heaviest():
    recipe = load_recipe("fast")
    steps = steps_of(recipe)
    longest = max(cut.positions for step in steps.heaviest for cut in step)
    assert longest >= max(cut.positions for step in steps.spread for cut in step)
    assert longest >= max(map(len, DATA.train))


def test_padding_computes_every_row_in_full():
    recipe = load_recipe("notebook")
    steps = steps_of(recipe, T4)
    full = [step for step in steps.spread if len(step) == 6]
    assert full
    assert all(cut.rows == 4 and cut.length == 512 for step in full for cut in step)


def test_a_budget_makes_smaller_cuts():
    cuts, free = (
        [cut for step in steps_of(load_recipe("fast", settings), T4).spread for cut in step]
        for settings in (["step.token_budget=512"], [])
    )
    assert max(cut.positions for cut in cuts) <= 512 < max(cut.positions for cut in free)
    assert len(cuts) > len(free)


def test_estimated_tokens_share_what_the_real_ones_share():
    draw = np.random.default_rng(1)
    begin = draw.integers(0, 3000, 60, dtype=np.int32)
    one, other = (
        estimated_ids(np.concatenate([begin, draw.integers(0, 3000, 40, dtype=np.int32)]))
        for _ in range(2)
    )
    assert len(one) == len(other) == pytest.approx(100 / 1.385, abs=1)
    shared = int(np.argmin(one == other))
    assert shared == pytest.approx(60 / 1.385, abs=1)
