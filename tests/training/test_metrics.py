"""Metrics of a window, and the time left."""

from __future__ import annotations

import pytest

from lexitrain.training.metrics import Speed, Window, peak_memory_gb


def test_a_window_weights_losses_by_tokens() -> None:
    window = Window(
        steps=2,
        samples=10,
        loss_sum=3.0 * 10 + 1.0 * 30,
        supervised_tokens=40,
        layout_tokens=400,
        seconds=2.0,
        data_wait_seconds=0.5,
        learning_rate=1e-3,
        grad_norm=0.7,
    )
    line = window.metrics(20, 0.5, None, {})
    assert line.loss == 1.5
    assert (line.samples_per_second, line.tokens_per_second) == (5.0, 200.0)
    assert (line.step, line.epoch, line.learning_rate, line.grad_norm) == (20, 0.5, 1e-3, 0.7)
    assert line.memory_gb == pytest.approx(peak_memory_gb(), abs=0.1)
    assert 0.01 < line.memory_gb < 100


def test_the_time_left_counts_validations_and_checkpoints() -> None:
    speed = Speed()
    assert speed.left(10, 1, 1) is None
    speed.steps.extend([(1.0, 100), (3.0, 300)])
    assert speed.tokens_per_second == 100.0
    assert _expected(speed, 10, 0, 0) == 20.0
    speed.validations.append(7.0)
    speed.checkpoints.append(1.0)
    assert _expected(speed, 10, 2, 3) == 20.0 + 14.0 + 3.0


def test_the_speed_follows_the_last_steps() -> None:
    speed = Speed()
    speed.steps.extend([(100.0, 1)] * 60 + [(1.0, 1)] * 50)
    assert _expected(speed, 1, 0, 0) == 1.0


def _expected(speed: Speed, steps: int, validations: int, checkpoints: int) -> float:
    left = speed.left(steps, validations, checkpoints)
    assert left is not None
    return left.expected
