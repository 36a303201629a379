"""Who gets which arm: always the same, fairly, and in one test without regard to another."""

from __future__ import annotations

import os
import subprocess
import sys

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from lexitrain.abtest.assignment import Assignment, other

SALT = bytes(range(16))
LEARNERS = [f"learner-{number}" for number in range(100_000)]


def shares(assignment: Assignment) -> np.ndarray:
    return np.array([assignment.arm(learner) == "a" for learner in LEARNERS])


def chi_square(observed: list[float], expected: list[float]) -> float:
    """p value, by scipy."""
    scipy = pytest.importorskip("scipy.stats")
    return float(scipy.chisquare(observed, expected).pvalue)


@pytest.mark.parametrize("ratio", [0.5, 0.9, 0.1, 1 / 3])
def test_arms_get_their_shares(ratio: float) -> None:
    count = shares(Assignment("tutor-2", SALT, ratio)).sum()
    expected = ratio * len(LEARNERS)
    p = chi_square([count, len(LEARNERS) - count], [expected, len(LEARNERS) - expected])
    assert p > 0.001


@pytest.mark.slow
def test_every_part_of_the_hash_is_as_likely() -> None:
    """Uniform, not only half and half: hundred parts of the range."""
    counts = np.zeros(100)
    arms = [shares(Assignment("tutor-2", SALT, (part + 1) / 100)) for part in range(100)]
    below = np.array([each.sum() for each in arms])
    counts = np.diff(below, prepend=0)
    assert chi_square(list(counts), [len(LEARNERS) / 100] * 100) > 0.001


@pytest.mark.parametrize("second", [("tutor-3", SALT), ("tutor-2", bytes(16))])
def test_tests_do_not_know_of_each_other(second: tuple[str, bytes]) -> None:
    """Neither with another name nor with another salt: in the four cells of both there is a quarter each."""
    one, two = shares(Assignment("tutor-2", SALT)), shares(Assignment(*second))
    cells = [((one == x) & (two == y)).sum() for x in (True, False) for y in (True, False)]
    assert chi_square(cells, [len(LEARNERS) / 4] * 4) > 0.001


def test_ids_that_are_alike_are_told_apart() -> None:
    """Numbers that count up are no pattern: neighbours agree half the time."""
    one = shares(Assignment("tutor-2", SALT))
    same = (one[1:] == one[:-1]).sum()
    assert chi_square([same, len(one) - 1 - same], [(len(one) - 1) / 2] * 2) > 0.001


@given(st.text(max_size=40), st.text(max_size=40), st.floats(0.01, 0.99))
def test_the_same_learner_always_gets_the_same(experiment: str, learner: str, ratio: float) -> None:
    try:
        (experiment + learner).encode()
    except UnicodeEncodeError:
        return
    one = Assignment(experiment, SALT, ratio)
    assert one.arm(learner) == Assignment(experiment, SALT, ratio).arm(learner)


def test_where_the_name_ends_and_the_learner_begins_counts() -> None:
    """The test `ab` and the learner `c` are not the test `a` and the learner `bc`: they agree half the time."""
    same = sum(
        Assignment("a", SALT).arm("b" + learner) == Assignment("ab", SALT).arm(learner)
        for learner in LEARNERS[:10_000]
    )
    assert chi_square([same, 10_000 - same], [5_000, 5_000]) > 0.001


def test_a_larger_share_moves_nobody_away() -> None:
    """Who is in arm a at 30 % is there at 60 % too."""
    few, many = shares(Assignment("t", SALT, 0.3)), shares(Assignment("t", SALT, 0.6))
    assert not (few & ~many).any()


def test_another_process_says_the_same() -> None:
    """Python's own hash of a text differs from process to process; this one does not."""
    script = (
        "from lexitrain.abtest.assignment import Assignment\n"
        "a = Assignment('tutor-2', bytes(range(16)))\n"
        "print(''.join(a.arm(f'learner-{n}') for n in range(500)))"
    )
    said = [
        subprocess.run(
            [sys.executable, "-c", script],
            env={**os.environ, "PYTHONHASHSEED": seed},
            check=True,
            capture_output=True,
            text=True,
        ).stdout.strip()
        for seed in ("1", "2")
    ]
    here = Assignment("tutor-2", SALT)
    assert said == ["".join(here.arm(each) for each in LEARNERS[:500])] * 2


def test_the_other_arm() -> None:
    assert (other("a"), other("b")) == ("b", "a")
