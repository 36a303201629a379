"""How a user writes a time: `90m`, `11h`, `1h30m` for a duration, `22:00` or `2026-11-24T22:00` for a moment."""

from __future__ import annotations

import re
from datetime import datetime, timedelta

from lexitrain.errors import InputError

_DURATION = re.compile(
    r"(?:(?P<hours>\d*\.?\d+)h)?(?:(?P<minutes>\d*\.?\d+)m)?(?:(?P<seconds>\d*\.?\d+)s)?"
)
_TIME_OF_DAY = re.compile(r"([01]?\d|2[0-3]):([0-5]\d)")


def duration(text: str) -> float:
    """Seconds in a duration.

    Raises:
        InputError: it is not written like one, or is zero.
    """
    seconds = _seconds(text)
    if not seconds:
        raise InputError(
            f"'{text}' is no duration.",
            where="--stop-after",
            fix="Write hours, minutes and seconds as 11h, 90m, 1h30m or 45s.",
        )
    return seconds


def hours(text: str, option: str = "--within") -> float:
    """Hours in a duration; a number without a unit is one of hours.

    Args:
        text: as the user wrote it.
        option: that it was given to.

    Raises:
        InputError: it is not written like a duration, or is zero.
    """
    try:
        seconds = 3600 * float(text)
    except ValueError:
        seconds = _seconds(text)
    if not 0 < seconds < float("inf"):
        raise InputError(
            f"'{text}' is no length of time.", where=option, fix="Write 4, 4h, 90m or 1h30m."
        )
    return seconds / 3600


def _seconds(text: str) -> float:
    """Seconds in a duration; 0 where it is not written like one."""
    found = _DURATION.fullmatch(text.strip().lower().replace(" ", ""))
    parts = {
        name: float(value) for name, value in (found.groupdict() if found else {}).items() if value
    }
    return (
        3600 * parts.get("hours", 0.0) + 60 * parts.get("minutes", 0.0) + parts.get("seconds", 0.0)
    )


def moment(text: str, now: datetime) -> datetime:
    """A moment after `now`. A time of day without a date is the next one; without a zone it is local time.

    Raises:
        InputError: it is not written like one, or it is over.
    """
    if found := _TIME_OF_DAY.fullmatch(text.strip()):
        today = now.replace(hour=int(found[1]), minute=int(found[2]), second=0, microsecond=0)
        return today if today > now else today + timedelta(days=1)
    try:
        then = datetime.fromisoformat(text.strip())
    except ValueError:
        raise InputError(
            f"'{text}' is no moment.",
            where="--stop-at",
            fix="Write a time of day as 22:00, or a date and time as 2026-11-24T22:00.",
        ) from None
    then = then if then.tzinfo else then.replace(tzinfo=now.tzinfo)
    if then <= now:
        raise InputError(f"{text} is over.", where="--stop-at", fix="Give a moment to come.")
    return then
