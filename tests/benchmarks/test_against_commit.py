"""Two commits in turns: what is told are ratios of the same steps, and of nothing else."""

from __future__ import annotations

import subprocess
from pathlib import Path

import pytest
from benchmarks.against_commit import Side, compared, document
from tests.paths import ROOT


def side(name: str, seconds: list[float], losses: list[float]) -> Side:
    return Side(name, Path(), Path(), seconds=seconds, losses=losses)


def test_ratios_are_of_the_same_steps():
    now = side("now", [1.0, 2.0, 1.0], [9.0, 8.0, 7.0, 6.0])
    then = side("then", [2.0, 3.0, 1.0], [9.0, 8.0, 7.0, 6.0])
    found = compared(now, then)
    assert found["then_over_now"] == 1.5
    assert found["of_all_steps"] == 1.5
    assert (found["lowest"], found["highest"], found["steps"]) == (1.0, 2.0, 3)
    assert found["step_seconds"] == {"now": 1.33333, "then": 2.0}


def test_two_that_compute_something_else_are_not_compared():
    with pytest.raises(RuntimeError, match="do not compute the same"):
        compared(side("now", [1.0], [9.0]), side("then", [1.0], [9.1]))


@pytest.mark.slow
def test_this_commit_against_itself(monkeypatch: pytest.MonkeyPatch):
    pytest.importorskip("dashscope")
    asked = ["git", "rev-parse", "--verify", "HEAD"]
    if subprocess.run(asked, cwd=ROOT, capture_output=True, check=False).returncode:
        pytest.skip("not a git checkout")
    found = document("HEAD", (), tiny=True)
    assert found["then"]["commit"] == found["now"]["commit"]
    assert found["shapes"]["nano"]["steps"] == 2
    trees = subprocess.run(
        ["git", "worktree", "list"], cwd=ROOT, capture_output=True, text=True, check=True
    )
    assert "/then " not in trees.stdout
