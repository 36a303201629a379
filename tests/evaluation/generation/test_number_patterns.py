from __future__ import annotations

import json
import math
import re

import pytest
from hypothesis import given
from hypothesis import strategies as st

from lexitrain.evaluation.generation.number_patterns import number_pattern

bounds = st.one_of(
    st.sampled_from(
        [0.0, 1.0, -1.0, 0.1, 0.3, 10.0, 100.0, 1e16, 1e-5, 5e-324, -2.5, 0, 9, 2**53 + 1]
    ),
    st.floats(-2000, 2000),
    st.floats(allow_nan=False, allow_infinity=True),
    st.integers(-(10**20), 10**20),
)


@st.composite
def intervals(draw: st.DrawFn) -> tuple[float, float]:
    return tuple(sorted((draw(bounds), draw(bounds))))  # pyright: ignore[reportReturnType]


@given(intervals(), st.data())
def test_what_is_matched_is_json_and_lies_between_the_bounds(
    interval: tuple[float, float], data: st.DataObject
) -> None:
    low, high = interval
    pattern = number_pattern(low, high)
    if pattern is None:
        return
    text = data.draw(st.from_regex(re.compile(pattern, re.ASCII), fullmatch=True))
    value = json.loads(text)
    assert low <= value <= high
    assert low <= float(text) <= high
    assert math.isfinite(value)


@given(intervals(), st.floats(-2000, 2000, width=32))
def test_every_number_that_training_writes_without_an_exponent_is_matched(
    interval: tuple[float, float], value: float
) -> None:
    low, high = interval
    value = round(value, 4) + 0.0
    text = json.dumps(value)
    matched = re.fullmatch(number_pattern(low, high) or "never", text)
    assert bool(matched) == (low <= value <= high)
    for bound in (low, high):
        if isinstance(bound, float) and math.isfinite(bound):
            assert re.fullmatch(number_pattern(low, high) or "", repr(bound + 0.0))


@pytest.mark.parametrize(
    ("low", "high", "inside", "outside"),
    [
        (
            0.0,
            1.0,
            ("0", "0.0", "1", "1.000", "0.5", "0.123456789"),
            ("1.001", "2", "-0.5", "00", "01", ".5", "1.", "8e-05"),
        ),
        (0.25, 0.75, ("0.25", "0.3", "0.7500", "0.26"), ("0.2", "0.2499", "0", "0.76", "1")),
        (-3, 12, ("-3", "-2.99", "0", "12.0", "7.5", "-0.1"), ("-3.1", "12.01", "13", "120")),
        (98, 1205, ("98", "99.5", "100", "1205", "1199"), ("97.9", "1205.1", "1206", "9800")),
        (
            -math.inf,
            math.inf,
            ("1e+16", "-2.5e+300", "0.1", "123456789"),
            ("1e+309", "NaN", "Infinity", "+1"),
        ),
    ],
)
def test_by_hand(
    low: float, high: float, inside: tuple[str, ...], outside: tuple[str, ...]
) -> None:
    pattern = number_pattern(low, high)
    assert pattern is not None
    assert [text for text in inside if not re.fullmatch(pattern, text)] == []
    assert [text for text in outside if re.fullmatch(pattern, text)] == []


def test_between_two_neighbouring_floats_there_is_nothing() -> None:
    assert number_pattern(2**53 + 1, 2**53 + 1) is None  # no float, though an integer
    assert number_pattern(2.0, 1.0) is None


def test_digits_have_an_end() -> None:
    pattern = number_pattern()
    assert pattern is not None
    assert not re.fullmatch(pattern, "0." + "3" * 22)
    assert not re.fullmatch(pattern, "3" * 17)
