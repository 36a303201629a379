"""The loss scale of fp16: an overflow repeats the step, no step is lost, and a real fault is told."""

from __future__ import annotations

import json
import math

import pytest
import torch

from lexitrain.step.loss_scale import FIRST, LossScale
from tests.step.test_equality import adapted_model, gradients_of, random_samples, training_step


def fp16_step():
    model = adapted_model()
    for parameter in model.parameters():
        if not parameter.requires_grad:
            parameter.data = parameter.data.half()
    return training_step(model, layout="tree")


def test_the_scale_halves_on_overflow_and_doubles_after_a_long_time():
    scale = LossScale(8.0)
    assert scale.again(math.inf)
    assert scale.factor == 4.0
    assert not scale.again(1.0)
    for _ in range(1999):
        scale.stepped()
    assert scale.factor == 4.0
    scale.stepped()
    assert scale == LossScale(8.0, 0)


def test_without_fp16_nothing_is_scaled_and_nothing_repeated():
    scale = LossScale()
    assert not scale.used
    assert not scale.again(math.nan)
    scale.stepped()
    assert scale == LossScale()
    assert training_step(adapted_model(), layout="tree").loss_scale == LossScale()


def test_a_step_that_overflows_is_computed_again_with_a_smaller_scale():
    samples = random_samples(0)
    step, expected = fp16_step(), fp16_step()
    assert step.loss_scale.factor == FIRST
    wanted = expected.gradients(samples)
    step.loss_scale.factor = 2.0**40
    found = step.gradients(samples)
    assert 1 < step.loss_scale.factor < 2.0**40
    assert found.loss == wanted.loss
    assert step.grad_norm == pytest.approx(expected.grad_norm, rel=1e-2)
    for name, gradient in gradients_of(step.model).items():
        other = gradients_of(expected.model)[name]
        assert torch.linalg.norm(gradient - other) <= 5e-2 * torch.linalg.norm(other)


def test_a_gradient_that_is_no_number_at_any_scale_moves_no_weight():
    step = fp16_step()
    hook = step.parameters[0].register_hook(lambda gradient: gradient * math.nan)
    result = step.gradients(random_samples(0))
    hook.remove()
    assert math.isfinite(result.loss)
    assert math.isnan(step.grad_norm)
    assert step.loss_scale.factor == 1.0
    before = [each.detach().clone() for each in step.parameters]
    assert math.isnan(step.update(1e-2))
    assert all(torch.equal(a, b) for a, b in zip(before, step.parameters, strict=True))


def test_a_scale_that_has_come_down_to_one_grows_again():
    scale = LossScale(4.0)
    assert scale.again(math.inf)
    assert scale.again(math.inf)
    assert (scale.factor, scale.used) == (1.0, True)
    assert not scale.again(math.inf)  # a real fault
    for _ in range(2000):
        scale.stepped()
    assert scale.factor == 2.0


def test_a_scale_of_one_is_restored_into_a_step_of_fp16_and_grows(tmp_path):
    from lexitrain.batching import Cursor
    from lexitrain.runs import Checkpoints, read_checkpoint
    from lexitrain.training.recovery.checkpoint_content import (
        AdapterFiles,
        checkpoint_files,
        restore,
    )
    from lexitrain.training.recovery.state import TrainingState

    step = fp16_step()
    step.loss_scale.factor, step.loss_scale.steady = 1.0, 1999
    files = checkpoint_files(
        AdapterFiles(step.model, "tiny"),
        *(step.model, step.optimizer, TrainingState(step=3), Cursor(3, 0, 3), step.loss_scale),
    )
    saved = read_checkpoint(Checkpoints(tmp_path, 1).save(3, files))
    other = fp16_step()
    restore(saved, other.model, other.optimizer, other.loss_scale)
    assert (other.loss_scale.factor, other.loss_scale.used) == (1.0, True)
    other.loss_scale.stepped()
    assert other.loss_scale.factor == 2.0


@pytest.mark.parametrize("says_so", [True, False], ids=["as it is written", "by an older version"])
def test_a_run_that_moves_to_a_card_with_fp16_begins_with_the_first_scale(tmp_path, says_so):
    from lexitrain.batching import Cursor
    from lexitrain.runs import Checkpoints, read_checkpoint
    from lexitrain.training.recovery.checkpoint_content import (
        STATE_FILE,
        AdapterFiles,
        checkpoint_files,
        restore,
    )
    from lexitrain.training.recovery.state import TrainingState

    step = training_step(adapted_model(), layout="tree")
    files = checkpoint_files(
        AdapterFiles(step.model, "tiny"),
        *(step.model, step.optimizer, TrainingState(step=3), Cursor(3, 0, 3), step.loss_scale),
    )
    if not says_so:
        content = json.loads(files[STATE_FILE])
        del content["loss_scale"]["used"]
        files[STATE_FILE] = json.dumps(content).encode()
    saved = read_checkpoint(Checkpoints(tmp_path, 1).save(3, files))
    other = fp16_step()
    restore(saved, other.model, other.optimizer, other.loss_scale)
    assert (other.loss_scale.factor, other.loss_scale.steady) == (FIRST, 0)
