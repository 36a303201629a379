"""A planned run has the steps that training would take."""

from __future__ import annotations

import numpy as np
import pytest

from lexitrain.batching.layout import lay_out
from lexitrain.errors import InputError
from lexitrain.models.architecture import Architecture, architecture_of
from lexitrain.planning.estimate.mixture import MIXTURE_SAMPLES, estimated_ids, profile_samples
from lexitrain.planning.estimate.planned_steps import PlannedData, cut_cost_of, laid_out, plan_steps
from lexitrain.recipe.yaml_file import load_recipe
from lexitrain.step.training_step import cut_cost
from tests.tiny import tiny_model

SAMPLES = profile_samples(500, max_length=512)
DATA = PlannedData(SAMPLES, SAMPLES[:50], "test", exact=False, key="test")


def test_a_cut_costs_what_training_thinks():
    config = tiny_model().config
    assert cut_cost_of(Architecture("tiny", config.to_dict())) == cut_cost(config)


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
    steps = plan_steps(recipe, DATA, architecture_of(recipe.model.base))
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
    steps = plan_steps(recipe, DATA, architecture_of(recipe.model.base), blocks=True)
    longest = max(cut.positions for step in steps.heaviest for cut in step)
    assert longest >= max(cut.positions for step in steps.spread for cut in step)
    assert longest >= max(map(len, DATA.train))


def test_padding_computes_every_row_in_full():
    recipe = load_recipe("notebook")
    steps = plan_steps(recipe, DATA, architecture_of(recipe.model.base))
    full = [step for step in steps.spread if len(step) == 6]
    assert full
    assert all(cut.rows == 4 and cut.length == 512 for step in full for cut in step)


def test_a_budget_makes_smaller_cuts():
    recipe = load_recipe("fast", ["step.token_budget=512"])
    cost = cut_cost_of(architecture_of(recipe.model.base))
    cuts = laid_out(SAMPLES[:24], recipe, cost)
    assert max(cut.layout_tokens for cut in cuts) <= 512
    free = laid_out(SAMPLES[:24], load_recipe("fast"), cost)
    plain = lay_out(
        SAMPLES[:24], layout="tree", loss="completion", max_length=512, pad_id=0, cost=cost
    )
    assert [cut.layout_tokens for cut in free] == [cut.layout_tokens for cut in plain]


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
