"""What is remembered of every record that is kept: one row of hashes and sizes, 56 bytes, and signs, 16.

Duplicates, groups and splits are decided on this table alone, while the texts wait on the disk. Conversations and long
texts add a little: 8 bytes a turn, 17 bytes an excerpt, 72 bytes a text that is long enough to be compared for near
duplicates.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Self

import numpy as np
from numpy.typing import NDArray

from lexitrain.preparation.advice.signs import SIGN
from lexitrain.preparation.duplicates import BANDS, Hashes

# The widest first, 56 bytes in all: every number stands where the processor reads it at once.
ROW = np.dtype(
    [
        ("key", np.uint64),
        ("answer", np.uint64),
        ("text", np.uint64),
        ("group", np.uint64),
        ("row", np.uint64),
        ("length", np.uint32),
        ("beginnings", np.int32),
        ("excerpts", np.int32),
        ("lacking", np.uint16),
        ("task", np.int8),
        ("own", np.uint8),
    ]
)
"""One kept record.

    key: hash of task and prompt: equal for exact duplicates.
    answer: hash of what is learnt (output, or the last answer).
    text: hash of the learner's words without case, spaces and punctuation, whatever the task and the form.
    group: hash of `metadata.group`, 0 without one.
    row: hash of the row that it was made of, where others were made of it too, else 0.
    length: bytes of its line.
    beginnings: how many proper beginnings its text has: 0 but for texts of several lines.
    excerpts: how many parts of its text may be the whole text of another record: 0 but for conversations.
    lacking: a bit for each accompanying key that its answer leaves out, in the order of the task's schema.
    task: its task, as a place in the sorted short names.
    own: the split that its source names, as `own_splits` numbers them.
"""

EXCERPT = np.dtype([("text", np.uint64), ("around", np.uint64), ("words", np.uint8)])
"""One excerpt of a record: hash of its words, as `text` is one; hash of what stands around it; how many words, at most
255."""


@dataclass(frozen=True, slots=True)
class RecordTable:
    """The kept records in the order of the input.

    Attributes:
        rows: [records] of `ROW`.
        beginnings: hash, as `text` is one, of every proper beginning of a text of several lines (the turns of a
            conversation), shortest first, one text after the other; `rows["beginnings"]` says how many each text has.
        excerpts: of `EXCERPT`, one record's after the other's; `rows["excerpts"]` says how many each has.
        long: [long] places in `rows` of the records that are compared for near duplicates.
        bands: [long, BANDS] their buckets.
        signs: [records] of `SIGN`: what advice is given by.
    """

    rows: NDArray[np.void]
    beginnings: Hashes
    excerpts: NDArray[np.void]
    long: NDArray[np.int64]
    bands: Hashes
    signs: NDArray[np.void]

    @classmethod
    def joined(cls, parts: Sequence[Self]) -> Self:
        """One table of all the rows, part after part. Needs twice their memory for a moment."""
        before = np.cumsum([0, *(len(part.rows) for part in parts)])
        return cls(
            np.concatenate([np.empty(0, ROW), *(part.rows for part in parts)]),
            np.concatenate([np.empty(0, np.uint64), *(part.beginnings for part in parts)]),
            np.concatenate([np.empty(0, EXCERPT), *(part.excerpts for part in parts)]),
            np.concatenate(
                [
                    np.empty(0, np.int64),
                    *(part.long + first for part, first in zip(parts, before, strict=False)),
                ]
            ),
            np.concatenate([np.empty((0, BANDS), np.uint64), *(part.bands for part in parts)]),
            np.concatenate([np.empty(0, SIGN), *(part.signs for part in parts)]),
        )
