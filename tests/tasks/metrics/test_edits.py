from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from lexitrain.tasks.metrics.edits import count_edits, edits

words = st.lists(st.sampled_from("abcd"), max_size=8)


@given(words, words)
def test_edits_turn_the_source_into_the_target(source: list[str], target: list[str]):
    result, at = [], 0
    for start, end, new in edits(source, target):
        assert start >= at
        assert tuple(source[start:end]) != new
        result += [*source[at:start], *new]
        at = end
    assert [*result, *source[at:]] == target


@given(words)
def test_nothing_changed_is_no_edit(source: list[str]):
    assert edits(source, source) == []


def test_neighbouring_edits_are_one_and_distant_ones_two():
    source = ["she", "go", "in", "school", "by", "bus"]
    assert edits(source, ["she", "goes", "to", "school", "by", "bus"]) == [(1, 3, ("goes", "to"))]
    assert edits(source, ["she", "goes", "in", "school", "by", "a", "bus"]) == [
        (1, 2, ("goes",)),
        (5, 5, ("a",)),
    ]


def test_an_invalid_answer_misses_every_edit_and_makes_one_at_least() -> None:
    assert count_edits(["a", "b"], None, [["a", "c"]]) == (0, 1, 1)
    assert count_edits(["a", "b"], None, [["a", "b"]]) == (0, 1, 0)
