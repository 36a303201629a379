"""The splits that a source brings with it: a data set's `train` and `test`, or files of these names.

They are used as they are where both something to train on and something held out is named; a validation or test split
that is missing is drawn from what trains. What would then lie on two sides (the same text, group or conversation, a
duplicate) stays with the one that is held out: test before validation before train.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Self

import numpy as np
from numpy.typing import NDArray

from lexitrain.preparation.split import assign_splits
from lexitrain.records import SPLITS, TEST, TRAIN, VALIDATION, Chunk

UNNAMED = len(SPLITS)
"""The own split of a record whose source names none; the others are places in `SPLITS`."""

DROPPED = 255
"""In place of a split: the record is not written."""

_TRAIN, _VALIDATION, _TEST = (SPLITS.index(split) for split in (TRAIN, VALIDATION, TEST))
_WORDS_OF = {
    _TRAIN: "train training",
    _VALIDATION: "validation valid val dev development eval",
    _TEST: "test testing",
}
_NAMES = {word: split for split, words in _WORDS_OF.items() for word in words.split()}
_WORDS = re.compile(r"[^\W\d_]+")

Sides = NDArray[np.uint8]


def own_split(chunk: Chunk) -> int:
    """The split that a chunk's source names: a data set's own one, or a word of the file's name, or its folder."""
    if chunk.split is not None:
        return _named(chunk.split)
    path = Path(chunk.file)
    of_file = _named(path.name)
    return _NAMES.get(path.parent.name.lower(), UNNAMED) if of_file == UNNAMED else of_file


def _named(name: str) -> int:
    found = {_NAMES[word] for word in _WORDS.findall(name.lower()) if word in _NAMES}
    return found.pop() if len(found) == 1 else UNNAMED


@dataclass(frozen=True, slots=True)
class Leak:
    """Records of one own split that also belong to another, which is held out, and so are not written.

    Attributes:
        of, also_in: places in `SPLITS`.
        records: which ones.
    """

    of: int
    also_in: int
    records: NDArray[np.int64]

    @property
    def reason(self) -> str:
        """Why the records are dropped."""
        return f"in {SPLITS[self.of]} and in {SPLITS[self.also_in]}"


class OwnSplits:
    """The own splits of all records, and what is made of them.

    Attributes:
        used: whether they are the splits of the result.
    """

    def __init__(self, own: Sides, *, used: bool) -> None:
        self.used = used
        self._own = own
        self._leaks: dict[str, int] = {}

    @classmethod
    def of(cls, own: Sides, *, wanted: bool) -> Self:
        """Uses them where that is wanted, something trains, and something is held out."""
        held_out = np.isin(own, (_VALIDATION, _TEST)).any()
        return cls(own, used=bool(wanted and held_out and (own == _TRAIN).any()))

    def rank(self) -> Sides:
        """[records] which of several equal ones is kept: the one of the lowest rank, of these the first."""
        if not self.used:
            return np.zeros(len(self._own), np.uint8)
        rank = np.zeros(UNNAMED + 1, np.uint8)
        rank[_VALIDATION], rank[_TRAIN], rank[UNNAMED] = 1, 2, 2
        return rank[self._own]

    def precedence(self) -> NDArray[np.int64]:
        """The records in the order of their rank."""
        return np.argsort(self.rank(), kind="stable")

    def leaks(self, groups: NDArray[np.int64]) -> Iterator[Leak]:
        """What lies on two sides, where the own splits are used.

        Args:
            groups: [records] what must stay together; dropped duplicates too.
        """
        if not self.used:
            return
        own = self._own
        pool = (own == _TRAIN) | (own == UNNAMED)
        in_test = _of_groups(groups, own == _TEST)
        in_validation = _of_groups(groups, own == _VALIDATION) & ~in_test
        for of, also_in, found in (
            (_TRAIN, _TEST, pool & in_test),
            (_TRAIN, _VALIDATION, pool & in_validation),
            (_VALIDATION, _TEST, (own == _VALIDATION) & in_test),
        ):
            leak = Leak(of, also_in, np.flatnonzero(found))
            if len(leak.records):
                self._leaks[leak.reason] = len(leak.records)
                yield leak

    def assigned(
        self,
        kept: NDArray[np.int64],
        groups: NDArray[np.int64],
        tasks: NDArray[np.int64],
        keys: NDArray[np.uint64],
        seed: int,
    ) -> Sides:
        """The split of each kept record: its own one, or drawn; also drawn where a held-out one is missing.

        Args:
            kept: places of the records; `leaks` has told which must not be among them.
            groups, tasks, keys, seed: as of `assign_splits`, of the kept ones.
        """
        if not self.used:
            return assign_splits(groups, tasks, keys, seed)
        own = self._own[kept]
        sides = np.where(own == UNNAMED, np.uint8(_TRAIN), own).astype(np.uint8)
        missing = [split for split in (_VALIDATION, _TEST) if not (self._own == split).any()]
        pool = np.flatnonzero(sides == _TRAIN)
        if missing and len(pool):
            numbered = np.unique(groups[pool], return_inverse=True)[1]
            drawn = assign_splits(numbered, tasks[pool], keys[pool], seed)
            wanted = np.isin(drawn, missing)
            sides[pool[wanted]] = drawn[wanted]
        return sides

    def to_json(self) -> dict[str, Any]:
        """What was found, whether it was used, and what lay on two sides."""
        counts = np.bincount(self._own, minlength=UNNAMED + 1)
        found = {name: int(count) for name, count in zip(SPLITS, counts, strict=False) if count}
        return {"found": found, "used": self.used, "on_two_sides": self._leaks}


def _of_groups(groups: NDArray[np.int64], members: NDArray[np.bool_]) -> NDArray[np.bool_]:
    """For each record whether its group holds one of the members."""
    return (np.bincount(groups, weights=members) > 0)[groups]
