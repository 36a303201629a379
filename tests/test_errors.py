"""The wording that messages share."""

from __future__ import annotations

import pytest

from lexitrain.errors import number_of


@pytest.mark.parametrize(
    ("count", "said"), [(0, "0 steps"), (1, "1 step"), (2, "2 steps"), (1200, "1,200 steps")]
)
def test_a_word_has_the_form_of_its_number(count: int, said: str) -> None:
    assert number_of(count, "step") == said


def test_verbs_and_other_plurals_are_named() -> None:
    assert number_of(1, "record is", "records are") == "1 record is"
    assert number_of(3, "record is", "records are") == "3 records are"
    assert number_of(2, "process", "processes") == "2 processes"
