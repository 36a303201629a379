"""Advice on splits: the same text, or nearly the same, in what trains and in what is held out.

Groups prevent it; this counts again what is written, on the result. Texts of twenty words or more are compared across
tasks too, which groups do not do: a long text that two tasks hold in nearly the same words may be on two sides.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray

from lexitrain.preparation.advice.advice import Advice, records
from lexitrain.preparation.advice.seen import Seen
from lexitrain.preparation.duplicates import alike_across
from lexitrain.records import SPLITS, TRAIN

_TRAIN = SPLITS.index(TRAIN)
_EXAMPLES = 3


def across_splits(
    seen: Seen, words_of: Callable[[int], list[str]]
) -> tuple[dict[str, int], Iterator[Advice]]:
    """How many held-out records have their text in train, the same or nearly the same; and the advice on them.

    Args:
        words_of: the learner's words of a record.
    """
    held_out = np.flatnonzero(seen.kept & (seen.sides != _TRAIN))
    train = seen.sides == _TRAIN
    same = held_out[np.isin(seen.rows["text"][held_out], seen.rows["text"][train])]
    near = _near(seen, words_of)
    counts = {"same_text": len(same), "nearly_the_same": len(near)}
    return counts, _advice(seen, len(held_out), {"same": same, "nearly the same": near})


def _near(seen: Seen, words_of: Callable[[int], list[str]]) -> NDArray[np.int64]:
    table = seen.table
    written = np.flatnonzero(seen.kept[table.long])
    long = table.long[written]
    trains = seen.sides[long] == _TRAIN
    found = alike_across(table.bands[written], trains, lambda place: words_of(int(long[place])))
    return long[found]


def _advice(seen: Seen, held_out: int, found: Mapping[str, NDArray[np.int64]]) -> Iterator[Advice]:
    for how, those in found.items():
        if len(those):
            yield Advice(
                "across_splits",
                "",
                f"{records(len(those))} of {held_out:,} held out whose text is {how} as one of train",
                "what was trained on is asked again, so that every score can look better than it is",
                "give records of one text the same metadata.group",
                *(len(those), held_out),
                examples=tuple(seen.place(each) for each in those[:_EXAMPLES].tolist()),
            )


def own_split_advice(own: Mapping[str, Any]) -> Iterator[Advice]:
    """Of the user's own splits, as `OwnSplits.to_json` describes them: what lay on two sides."""
    count = sum(own["on_two_sides"].values())
    if count:
        listed = ", ".join(f"{reason} {number:,}" for reason, number in own["on_two_sides"].items())
        yield Advice(
            "own_splits_overlap",
            "",
            f"the sources' own splits overlap by text, group or duplicate ({listed}); these records were left out of "
            "the side that is first named",
            "scores that were measured with these splits before look better than they were, and do not compare with "
            "the new ones",
            "mend the splits at their source, or split anew with --new-splits",
            *(count, sum(own["found"].values())),
        )
