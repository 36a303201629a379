r"""Regular expressions of the JSON numbers between two bounds.

A model that is held to a schema must not be able to write 1.2 where at most 1 is allowed, nor to write digits without
end. So a number has at most 16 digits before the point and 21 after it: room for every number that a training answer
writes without an exponent (Python's `repr`). One from 1e16 on is written with its exponent; one below 1e-4 is not, as a
model that begins with the 8 of 8 out of 10 would then be led to 8e-05. What is matched always lies between the bounds,
also after it is read as a float: reading rounds, but never past another float. Exponents are allowed by whole powers
of ten, and the bounds themselves always.
"""

from __future__ import annotations

from decimal import ROUND_CEILING, ROUND_FLOOR, Context, Decimal
from math import inf, nextafter
from sys import float_info

_BEFORE, _AFTER = 16, 21
_LARGEST_EXPONENT = 307
_LARGEST = Decimal(10) ** _BEFORE - Decimal(1).scaleb(-_AFTER)
_ANY_FRACTION = rf"(\.[0-9]{{1,{_AFTER}}})?"
_EXACT = Context(prec=400)


def number_pattern(minimum: float = -inf, maximum: float = inf) -> str | None:
    """A regular expression of numbers that lie between the bounds; None where no float does.

    Args:
        minimum, maximum: int or float; either may be infinite.
    """
    low, high = _float_above(minimum) + 0.0, _float_below(maximum) + 0.0  # -0.0 is 0.0
    if low > high:
        return None
    found = [
        *(_escaped(repr(bound)) for bound in (low, high)),
        *_one_sign("", low, high),
        *_one_sign("-", 0.0 - high, 0.0 - low),
    ]
    return _any_of([f"({each})" for each in dict.fromkeys(found)])


def _float_above(bound: float) -> float:
    """The smallest float that is not below the bound."""
    if bound <= -float_info.max:
        return -float_info.max
    nearest = float(bound) if bound <= float_info.max else inf
    return nextafter(nearest, inf) if nearest < bound else nearest


def _float_below(bound: float) -> float:
    return -_float_above(-bound)


def _one_sign(sign: str, low: float, high: float) -> list[str]:
    """Patterns of the numbers with this sign whose size is between the bounds."""
    if high < 0 or (sign and high == 0):
        return []
    least, most = Decimal(repr(max(low, 0.0))), Decimal(repr(high))
    patterns = [_decimals(least, most), _powers(least, most)]
    return [sign + f"({pattern})" for pattern in patterns if pattern]


def _powers(least: Decimal, most: Decimal) -> str:
    """With an exponent, as far as a whole power of ten lies between two sizes; empty where none does."""
    inside = [
        k
        for k in range(_BEFORE, _LARGEST_EXPONENT + 1)
        if Decimal(1).scaleb(k) >= least and Decimal(1).scaleb(k + 1) <= most
    ]
    if not inside:
        return ""
    return rf"[1-9](\.[0-9]{{1,17}})?e\+{_integers(inside[0], inside[-1])}"


def _decimals(least: Decimal, most: Decimal) -> str:
    """Without an exponent, between two sizes; empty where there is none with so few digits."""
    point = Decimal(1).scaleb(-_AFTER)
    if least > _LARGEST:
        return ""
    low = least.quantize(point, rounding=ROUND_CEILING, context=_EXACT)
    high = min(most, _LARGEST).quantize(point, rounding=ROUND_FLOOR, context=_EXACT)
    if low > high:
        return ""
    (first, after_first), (last, after_last) = (f"{each:f}".split(".") for each in (low, high))
    if first == last:
        return first + _fraction_between(after_first, after_last)
    found = [
        first + _fraction_between(after_first, "9" * _AFTER),
        last + _fraction_between("0" * _AFTER, after_last),
    ]
    if int(last) - int(first) > 1:
        found.append(_integers(int(first) + 1, int(last) - 1) + _ANY_FRACTION)
    return _any_of(found)


def _fraction_between(low: str, high: str) -> str:
    """The point and what follows it, or nothing where that is not too little."""
    if _zero(low):
        return _ANY_FRACTION if set(high) == {"9"} else rf"(\.{_digits_up_to(high, 0, least=1)})?"
    return r"\." + _digits_between(low, high, 0)


def _digits_between(low: str, high: str, place: int) -> str:
    """The digits from a place on; those left out are zeros."""
    left = len(low) - place - 1
    if left < 0:
        return ""
    if _zero(low[place:]):
        return _digits_up_to(high, place)
    if set(high[place:]) == {"9"}:
        larger = _one_of(int(low[place]) + 1, 9, left)
        return _any_of([*larger, low[place] + _digits_between(low, high, place + 1)])
    if low[place] == high[place]:
        return low[place] + _digits_between(low, high, place + 1)
    nines = high[: place + 1] + "9" * left
    return _any_of(
        [
            low[place] + _digits_between(low, nines, place + 1),
            *_one_of(int(low[place]) + 1, int(high[place]) - 1, left),
            high[place] + _digits_up_to(high, place + 1),
        ]
    )


def _digits_up_to(high: str, place: int, *, least: int = 0) -> str:
    """Any digits from a place on that are not above those of `high`; `least` of them at least."""
    left = len(high) - place - 1
    if left < 0:
        return ""
    if set(high[place:]) == {"9"}:
        return f"[0-9]{{{least},{left + 1}}}"
    if _zero(high[place:]):
        return f"0{{{least},{left + 1}}}"
    digit = high[place]
    options = _any_of([*_one_of(0, int(digit) - 1, left), digit + _digits_up_to(high, place + 1)])
    return options if least else f"({options})?"


def _one_of(low: int, high: int, left: int) -> list[str]:
    """One digit between two and then at most `left` more; none where there is no such digit."""
    return [] if low > high else [f"[{low}-{high}]" + (f"[0-9]{{0,{left}}}" if left else "")]


def _integers(low: int, high: int) -> str:
    """The integers from `low` to `high`, without leading zeros; `low` is 0 at least."""
    found: list[str] = []
    for length in range(len(str(low)), len(str(high)) + 1):
        first = max(low, 10 ** (length - 1) if length > 1 else 0)
        found.append(_equally_long(str(first), str(min(high, 10**length - 1))))
    return _any_of(found)


def _equally_long(low: str, high: str) -> str:
    if not low or low == high:
        return low
    rest = len(low) - 1
    if _zero(low) and set(high) == {"9"}:
        return f"[0-9]{{{len(low)}}}"
    if low[0] == high[0]:
        return low[0] + _equally_long(low[1:], high[1:])
    found = [
        low[0] + _equally_long(low[1:], "9" * rest),
        high[0] + _equally_long("0" * rest, high[1:]),
    ]
    if int(high[0]) - int(low[0]) > 1:
        more = f"[0-9]{{{rest}}}" if rest else ""
        found.append(f"[{int(low[0]) + 1}-{int(high[0]) - 1}]{more}")
    return _any_of(found)


def _zero(digits: str) -> bool:
    return not digits.strip("0")


def _any_of(patterns: list[str]) -> str:
    return patterns[0] if len(patterns) == 1 else f"({'|'.join(patterns)})"


def _escaped(number: str) -> str:
    return number.replace(".", r"\.").replace("+", r"\+")
