"""Rows that are not plain data: pairs of a better and a worse answer, unwanted answers, weighted rows."""

from __future__ import annotations

import re

from lexitrain.records.forms.values import Row, is_empty
from lexitrain.records.record import BadRow

_WORSE = re.compile(r"(?:^|_)rejected(?:_|$)|^non_?preferred")
"""Columns of a worse answer, which is there to be unlearnt: DPO, ORPO, OpenAI's preference format."""

_VERDICTS = ("label", "kto_tag")
_WEIGHTS = ("weight", "loss_weight", "train", "training")
_NO = frozenset(("false", "0"))


def refuse_unlearnable(others: Row, *, is_conversation: bool) -> None:
    """Refuse a row that plain training would learn the wrong thing from.

    Args:
        others: what of a row belongs to no form.

    Raises:
        BadRow: it is a preference pair, an answer that is not wanted, or has a weight.
    """
    for key, value in others.items():
        if is_empty(value):
            continue
        if _WORSE.search(key.casefold()) or key.casefold() == "chosen":
            raise BadRow(
                f"a preference pair (`{key}`), no plain data: make `completion` of the better answer "
                "and leave the worse one out"
            )
    if is_conversation:
        for key in _VERDICTS:
            if key in others and _says_no(others[key]):
                raise BadRow(f"an unwanted answer (`{key}` is {others[key]}), not to be learnt")
    for key in _WEIGHTS:
        value = others.get(key)
        if isinstance(value, bool | int | float) and value != 1:
            raise BadRow(
                f"the row has `{key}` {value}: rows have no weight; leave it out, or weigh tasks "
                "with data.task_weights"
            )


def _says_no(value: object) -> bool:
    """Whether a verdict is no: false or 0, in a table also as text."""
    if isinstance(value, str):
        return value.strip().casefold() in _NO
    return isinstance(value, bool | int | float) and value == 0
