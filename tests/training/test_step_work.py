"""Work built ahead is the work built when asked for."""

from __future__ import annotations

import threading
from time import sleep

import pytest

from lexitrain.training.step_work import Prefetch


@pytest.mark.parametrize("workers", [0, 1, 3])
def test_each_step_comes_in_order(workers: int) -> None:
    def build(step: int) -> int:
        sleep(0.002 * (step % 3))
        return step * step

    with Prefetch(build, 3, 20, workers) as ahead:
        assert [ahead.next() for _ in range(3, 20)] == [step * step for step in range(3, 20)]


def test_nothing_is_built_beyond_the_end_or_far_ahead() -> None:
    built: list[int] = []
    with Prefetch(built.append, 0, 3, 2) as ahead:
        for _ in range(3):
            ahead.next()
    assert sorted(built) == [0, 1, 2]

    seen: list[int] = []
    with Prefetch(seen.append, 0, 1000, 2) as ahead:
        ahead.next()
    assert len(seen) <= 5


def test_an_error_is_raised_at_its_step() -> None:
    def build(step: int) -> int:
        if step == 2:
            raise ValueError("step 2")
        return step

    with Prefetch(build, 0, 9, 2) as ahead:
        assert [ahead.next(), ahead.next()] == [0, 1]
        with pytest.raises(ValueError, match="step 2"):
            ahead.next()


@pytest.mark.parametrize("workers", [1, 3])
def test_what_a_worker_fails_at_is_done_once_more(workers: int) -> None:
    once: set[int] = set()
    told: list[str] = []

    def build(step: int) -> int:
        if step in {0, 4, 8} and step not in once:
            once.add(step)
            raise MemoryError(str(step))
        return step

    with Prefetch(build, 0, 9, workers, lambda error: told.append(str(error))) as ahead:
        assert [ahead.next() for _ in range(9)] == list(range(9))
    assert told == ["0", "4", "8"]


def test_without_threads_everything_is_built_when_asked_for(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    def refuse(_thread: threading.Thread) -> None:
        raise RuntimeError("can't start new thread")

    told: list[str] = []
    monkeypatch.setattr(threading.Thread, "start", refuse)
    with Prefetch(lambda step: step, 0, 9, 2, lambda error: told.append(str(error))) as ahead:
        assert [ahead.next() for _ in range(9)] == list(range(9))
    assert told == ["can't start new thread"]


def test_no_thread_is_left_behind() -> None:
    with Prefetch(lambda step: step, 0, 9, 2) as ahead:
        ahead.next()
    assert not [each for each in threading.enumerate() if each.name.startswith("layout")]
