"""A micro-batch as far as its cost goes: its shape, and a micro-batch without meaning of a given shape.

Steps are planned, rehearsed and measured by shapes; nothing that a plan is computed from depends on which tokens the
samples hold.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import accumulate

import numpy as np

from lexitrain.batching import Block, MicroBatch, attention_cells


@dataclass(frozen=True, slots=True)
class CutShape:
    """A micro-batch as far as its cost goes.

    Attributes:
        rows, length: layout positions are rows x length.
        scored: hidden states that go through the output head.
        blocks: queries and keys of each block of the only row; none where attention is over whole rows.
        trunk: columns at its beginning that all later queries see besides.
    """

    rows: int
    length: int
    scored: int
    blocks: tuple[tuple[int, int], ...] = ()
    trunk: int = 0

    @classmethod
    def of(cls, batch: MicroBatch) -> CutShape:
        """The shape of a micro-batch."""
        rows, length = batch.tokens.shape
        blocks = tuple((block.queries, len(block.columns)) for block in batch.blocks)
        return cls(rows, length, len(batch.predict), blocks, batch.trunk)

    @property
    def positions(self) -> int:
        """Layout tokens, padding included."""
        return self.rows * self.length

    @property
    def cells(self) -> int:
        """Cells of the attention matrix that are computed, for one head."""
        return attention_cells(self.rows, self.length, self.blocks, self.trunk)

    @property
    def block_bounds(self) -> tuple[tuple[int, int, int], ...]:
        """Of each block: first query, the one after the last, and how many keys."""
        ends = accumulate(queries for queries, _ in self.blocks)
        return tuple(
            (end - queries, end, keys)
            for end, (queries, keys) in zip(ends, self.blocks, strict=True)
        )

    @property
    def after_trunk(self) -> int:
        """Queries that see the trunk besides their block's columns."""
        return self.length - self.trunk if self.trunk else 0

    @property
    def keys(self) -> int:
        """Keys of all blocks."""
        return sum(keys for _, keys in self.blocks)


def shapes_of(batches: Sequence[MicroBatch]) -> tuple[CutShape, ...]:
    """The shapes of a step's micro-batches."""
    return tuple(CutShape.of(batch) for batch in batches)


def blank_micro_batch(cut: CutShape) -> MicroBatch:
    """A micro-batch of which only the shape matters: every position sees all before it in its row.

    A block's columns are the last ones before its end, as many as it has keys.
    """
    grid = np.zeros((cut.rows, cut.length), dtype=np.int64)
    flat = np.arange(cut.scored, dtype=np.int64) % cut.positions
    return MicroBatch(
        tokens=grid + 7,
        positions=np.tile(np.arange(cut.length, dtype=np.int64), (cut.rows, 1)),
        reach=grid + cut.length,
        predict=flat,
        labels=np.full(cut.scored, 5, dtype=np.int64),
        sample=np.zeros(cut.scored, dtype=np.int64),
        blocks=tuple(
            Block(start, end, np.arange(end - keys, end, dtype=np.int64))
            for start, end, keys in cut.block_bounds
        ),
        trunk=cut.trunk,
    )
