"""The usual trainer's micro-batches, and plans of it."""

from __future__ import annotations

import pytest

from lexitrain.batching import StepLayout
from lexitrain.planning.estimate.mixture import profile_samples
from lexitrain.planning.usual_trainer.batches import PaddedBatches, trainer_recipe
from lexitrain.recipe.yaml_file import load_recipe
from tests.planning.estimate.test_plan import planned


def batches(name: str) -> PaddedBatches:
    recipe = load_recipe(name)
    layout = StepLayout.of_recipe(
        recipe.step,
        None,
        max_length=recipe.data.max_length,
        pad_id=0,
        attention="dense",
        device="cuda",
    )
    return PaddedBatches.of_layout(layout, 4)


def test_a_padded_recipe_is_padded_to_its_limit_and_any_other_to_the_longest_of_four():
    samples = profile_samples(24, max_length=512, tasks=load_recipe("fast").data.tasks)
    lengths = [len(sample) for sample in samples]
    full = batches("notebook").lay_out(samples)
    assert [batch.tokens.shape for batch in full] == [(4, 512)] * 6
    dynamic = batches("fast").lay_out(samples)
    expected = [(4, max(lengths[start : start + 4])) for start in range(0, 24, 4)]
    assert [batch.tokens.shape for batch in dynamic] == expected
    ours = sum(batch.supervised_tokens for batch in dynamic)
    assert ours == sum(int(sample.supervised.sum()) for sample in samples)


def test_a_rest_is_a_smaller_micro_batch():
    samples = profile_samples(10, max_length=512, tasks=load_recipe("fast").data.tasks)
    assert [batch.tokens.shape[0] for batch in batches("notebook").lay_out(samples)] == [4, 4, 2]


def test_what_is_automatic_becomes_what_is_usual_and_the_rest_stays():
    fast = trainer_recipe(load_recipe("fast"))
    assert fast.step.micro_batch == 4
    assert fast.step.gradient_checkpointing == "never"
    assert fast.model.quantization == "none"
    notebook = load_recipe("notebook")
    usual = trainer_recipe(notebook)
    assert usual.step.micro_batch == notebook.step.micro_batch
    assert usual.step.gradient_checkpointing == "always"
    assert usual.model == notebook.model


@pytest.mark.parametrize("name", ["fast", "notebook"])
def test_a_plan_of_it_needs_more_of_everything(name: str):
    ours, theirs = planned(name), planned(name, engine="trainer")
    assert theirs.to_json()["engine"] == "trainer"
    assert ours.to_json()["engine"] == "lexitrain"
    assert theirs.memory.logits > ours.memory.logits
    assert theirs.hours.expected > ours.hours.expected
    assert theirs.steps.total_steps == ours.steps.total_steps
    assert theirs.steps.supervised_tokens == ours.steps.supervised_tokens


def test_its_choices_are_named():
    assert planned("fast", engine="trainer").choices == {
        "model.quantization": "none",
        "step.gradient_checkpointing": "never",
        "step.micro_batch": "4",
    }
