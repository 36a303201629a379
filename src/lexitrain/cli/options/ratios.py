"""`--ratio A:B`: in which learners are assigned to two arms."""

from __future__ import annotations

from lexitrain.errors import InputError


def ratio_of(text: str) -> tuple[float, float]:
    """Both numbers.

    Raises:
        InputError: these are no two numbers.
    """
    try:
        first, other = (float(part) for part in text.split(":"))
    except ValueError as error:
        raise InputError(
            f"'{text}' is no ratio.", where="--ratio", fix="Write 1:1 or 9:1."
        ) from error
    return first, other
