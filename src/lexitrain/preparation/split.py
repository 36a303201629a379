"""Which records train, which validate, which test: 80/10/10, whole groups, every task in its share.

The order in which groups are drawn depends on the seed and on what the records say, not on where they stand. Groups
are drawn within strata of the same set of tasks, so that each task gets its 80/10/10 even where groups span tasks.
A group larger than a whole held-out split trains, where there are others to hold out.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from lexitrain.preparation.duplicates import mixed
from lexitrain.records import SPLITS, TEST, VALIDATION

_VALIDATION, _TEST = SPLITS.index(VALIDATION), SPLITS.index(TEST)
HELD_OUT = 0.1  # share of validation, and of test

_SMALLEST = 3  # a stratum with fewer groups than splits only trains


def assign_splits(
    groups: NDArray[np.int64], tasks: NDArray[np.int64], keys: NDArray[np.uint64], seed: int
) -> NDArray[np.uint8]:
    """The split of each record, as an index into `SPLITS`.

    Args:
        groups: group of each record, 0 to groups - 1; a group never straddles.
        tasks: number of each record's task, below 63.
        keys: hash of each record's content, which decides the order of drawing together with the seed.
        seed: another seed, another draw.
    """
    if not len(groups):
        return np.empty(0, np.uint8)
    count = int(groups.max()) + 1
    sizes = np.bincount(groups, minlength=count)
    strata = np.zeros(count, np.int64)
    np.bitwise_or.at(strata, groups, np.int64(1) << tasks)
    lowest = np.full(count, np.iinfo(np.uint64).max)
    np.minimum.at(lowest, groups, keys)
    salt = mixed(np.array([seed], np.uint64) + np.uint64(1))
    drawn = mixed(lowest ^ salt)
    split_of_group = np.zeros(count, np.uint8)
    for stratum in np.unique(strata):
        members = np.flatnonzero(strata == stratum)
        if len(members) >= _SMALLEST:
            split_of_group[members] = _draw(sizes[members], drawn[members])
    return split_of_group[groups]


def _draw(sizes: NDArray[np.int64], drawn: NDArray[np.uint64]) -> NDArray[np.uint8]:
    """The split of each of three or more groups: test first, then validation, the rest trains. None stays empty."""
    held_out = max(1, round(HELD_OUT * int(sizes.sum())))
    order = np.lexsort((drawn, sizes > held_out))  # large groups last
    filled = np.cumsum(sizes[order])
    test = min(_nearest(filled, held_out), len(sizes) - 2)
    both = test + min(
        _nearest(filled[test:], int(filled[test - 1]) + held_out), len(sizes) - 1 - test
    )
    split = np.zeros(len(sizes), np.uint8)
    split[order[:test]] = _TEST
    split[order[test:both]] = _VALIDATION
    return split


def _nearest(filled: NDArray[np.int64], wanted: int) -> int:
    """How many groups, at least one, come nearest to `wanted` records."""
    return int(np.abs(filled - wanted).argmin()) + 1
