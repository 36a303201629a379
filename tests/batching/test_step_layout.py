"""A recipe's layout on each kind of device."""

from __future__ import annotations

from dataclasses import replace

import pytest

from lexitrain.batching.cuts import CutCost
from lexitrain.batching.decoder_shape import DecoderShape
from lexitrain.batching.step_layout import StepLayout
from lexitrain.recipe.schema import StepSection
from tests.step.test_equality import random_samples

SHAPE = DecoderShape(
    hidden=64, layers=2, heads=4, key_value_heads=2, head_dimension=16, intermediate=96
)


def layout(attention: str = "blocks", device: str = "cpu", **settings) -> StepLayout:
    step = StepSection(**settings)
    return StepLayout.of_recipe(
        step, CutCost.of_shape(SHAPE), max_length=64, pad_id=1, attention=attention, device=device
    )


@pytest.mark.parametrize(
    ("attention", "device", "bucket"),
    [("blocks", "cpu", 1), ("dense", "cpu", 1), ("dense", "cuda", 16), ("flex", "cuda", 128)],
)
def test_the_bucket_is_that_of_the_device_unless_it_is_given(
    attention: str, device: str, bucket: int
):
    assert layout(attention, device).bucket == bucket
    assert layout(attention, device, bucket=24).bucket == 24


def test_auto_means_no_limit_and_a_number_is_one():
    free, given = layout(), layout(token_budget=70)
    assert (free.token_budget, free.micro_batch) == (None, None)
    samples = random_samples(0)
    assert max(batch.layout_tokens for batch in given.lay_out(samples)) <= 70
    assert len(layout(micro_batch=4).lay_out(samples)) == 3


def test_several_processes_get_at_least_as_many_cuts():
    samples = random_samples(0)
    assert len(replace(layout(), cost=replace(layout().cost, floor=0)).lay_out(samples, 3)) >= 3


def test_padded_rows_grow_with_a_sample_that_is_longer():
    samples = random_samples(0)
    longest = max(map(len, samples))
    rows = layout(layout="padded", token_budget="auto")
    (batch,) = replace(rows, max_length=longest - 1).lay_out(samples)
    assert batch.tokens.shape == (len(samples), longest)
    (batch,) = rows.lay_out(samples)
    assert batch.tokens.shape == (len(samples), 64)
