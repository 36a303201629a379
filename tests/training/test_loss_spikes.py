"""What counts as a loss spike."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from lexitrain.training.metrics import LossWatch


def reported(losses: list[float]) -> list[int]:
    watch = LossWatch()
    return [number for number, loss in enumerate(losses) if watch.is_spike(loss) is not None]


def test_a_loss_far_above_the_others_is_reported_once() -> None:
    quiet = [2.0 + 0.1 * (number % 5) for number in range(30)]
    assert reported(quiet) == []
    assert reported([*quiet, 9.0, 2.1]) == [30]
    assert reported([*quiet, 9.0, 9.0, 9.0, 2.1, 9.0]) == [30, 34]
    assert reported([*quiet, 0.1]) == []


def test_nothing_is_reported_before_enough_is_known_or_while_the_loss_falls() -> None:
    assert reported([2.0] * 19 + [99.0]) == []
    assert reported([2.0] * 20 + [99.0]) == [20]
    assert reported([8.0 * 0.9**number for number in range(100)]) == []
    assert reported([2.0] * 40 + [2.5]) == []  # a floor keeps equal losses quiet


@given(st.lists(st.floats(0, 100), max_size=120))
def test_a_watch_goes_on_as_if_it_had_not_been_saved(losses: list[float]) -> None:
    watch, seen = LossWatch(), []
    for loss in losses:
        seen.append(watch.is_spike(loss))
        watch = LossWatch(list(watch.losses), watch.high)
        assert len(watch.losses) <= 50
    assert [number for number, each in enumerate(seen) if each is not None] == reported(losses)
