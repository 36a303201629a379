"""Durations and moments as users write them."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta, timezone

import pytest

from lexitrain.cli.options.durations import duration, hours, moment
from lexitrain.errors import InputError

NOW = datetime(2026, 11, 24, 21, 30, 15, tzinfo=UTC)


@pytest.mark.parametrize(
    ("text", "seconds"),
    [
        ("11h", 39600),
        ("90m", 5400),
        ("1h30m", 5400),
        ("45s", 45),
        ("1.5h", 5400),
        (" 2H 5m ", 7500),
    ],
)
def test_durations(text: str, seconds: float) -> None:
    assert duration(text) == seconds


@pytest.mark.parametrize("text", ["", "0m", "11", "h", "3m2h", "-5m", "1h30", "soon"])
def test_what_is_no_duration(text: str) -> None:
    with pytest.raises(InputError, match="no duration"):
        duration(text)


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("4", 4.0),
        ("4h", 4.0),
        ("90m", 1.5),
        ("1h30m", 1.5),
        (" 1H 30m ", 1.5),
        ("2.5", 2.5),
        (".5h", 0.5),
        ("45s", 0.0125),
    ],
)
def test_hours_are_a_duration_or_a_bare_number(text: str, expected: float) -> None:
    assert hours(text) == expected


@pytest.mark.parametrize("text", ["", "0", "0h", "-1", "nan", "inf", "h", "3m2h", "1h30", "soon"])
def test_what_is_no_length_of_time(text: str) -> None:
    with pytest.raises(InputError, match="no length of time") as caught:
        hours(text)
    assert caught.value.where == "--within"


@pytest.mark.parametrize(
    ("text", "after"),
    [
        ("22:00", timedelta(minutes=29, seconds=45)),
        ("21:30", timedelta(hours=23, minutes=59, seconds=45)),
        ("9:05", timedelta(hours=11, minutes=34, seconds=45)),
        ("2026-11-24T22:00", timedelta(minutes=29, seconds=45)),
        ("2026-11-25 01:30:15", timedelta(hours=4)),
        ("2026-11-25T05:30:15+07:00", timedelta(hours=1)),
    ],
)
def test_moments(text: str, after: timedelta) -> None:
    assert moment(text, NOW) == NOW + after


def test_a_time_of_day_is_local() -> None:
    hanoi = timezone(timedelta(hours=7))
    assert moment("22:00", NOW.astimezone(hanoi)) == datetime(2026, 11, 25, 22, tzinfo=hanoi)


@pytest.mark.parametrize(
    ("text", "why"),
    [("25:00", "no moment"), ("tomorrow", "no moment"), ("2026-11-24T21:30", "is over")],
)
def test_what_is_no_moment_to_come(text: str, why: str) -> None:
    with pytest.raises(InputError, match=why):
        moment(text, NOW)
