"""Tiles of the attention matrix that a GPU's kernel computes whole or not at all (FlexAttention).

Which of them hold a pair that sees each other follows from the layout alone, so that background workers list them ahead
of time. Only numpy.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from lexitrain.batching.query_blocks import TILE, Integers

Flags = NDArray[np.bool_]


@dataclass(frozen=True, slots=True, eq=False)
class Tiles:
    """The tiles of a micro-batch, `Q` of queries by `K` of keys.

    Attributes:
        seen: [B, Q, K], some query of it sees some key.
        whole: [B, Q, K], every query of it sees every key, so that none has to be looked at.
    """

    seen: Flags
    whole: Flags

    @classmethod
    def of(cls, reach: Integers) -> Tiles:
        """By the rule `k <= q < reach[k]`. A window hides some of them, which is not looked at.

        Args:
            reach: [B, L], see `MicroBatch`.
        """
        rows, length = reach.shape
        count = -(-length // TILE)
        # A key that is not there is seen by nobody: it ends no tile's visibility, and makes none whole.
        padded = np.zeros((rows, count * TILE), dtype=np.int64)
        padded[:, :length] = reach
        in_tiles = padded.reshape(rows, count, TILE)
        farthest: Integers = in_tiles.max(axis=2)
        nearest: Integers = in_tiles.min(axis=2)
        number: Integers = np.arange(count, dtype=np.int64)
        query, key = number[:, None], number[None, :]
        after: Integers = np.minimum((query + 1) * TILE, length)
        seen: Flags = (key <= query) & (query * TILE < farthest[:, None, :])
        return cls(seen, (key < query) & (after <= nearest[:, None, :]))

    @property
    def count(self) -> int:
        """Tiles that are computed, of all rows."""
        return int(np.count_nonzero(self.seen))

    def tables(self) -> tuple[Integers, ...]:
        """What FlexAttention's `BlockMask` holds: of each tile of queries how many tiles of keys it sees in part and
        which, how many whole and which; then the same of each tile of keys. Counts [B, 1, Q], places [B, 1, Q, K].
        """
        part = self.seen & ~self.whole
        turned = [np.swapaxes(each, 1, 2) for each in (part, self.whole)]
        return tuple(table for each in (part, self.whole, *turned) for table in _listed(each))


def _listed(flags: Flags) -> tuple[Integers, Integers]:
    places: Integers = np.argsort(~flags, axis=-1, kind="stable").astype(np.int64)
    return flags.sum(axis=-1, dtype=np.int64)[:, None], places[:, None]
