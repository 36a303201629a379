"""A micro-batch as far as its cost goes: its shape, and a micro-batch without meaning of a given shape.

Steps are planned, rehearsed and measured by shapes; nothing that a plan is computed from depends on which tokens the
samples hold.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
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
        windowed: whether a position lies deeper than the window of the base's windowed layers reaches.
        window_blocks: queries and keys of each block in these layers, where attention goes by blocks.
        tiles: of all rows, where attention leaves out hidden ones.
    """

    rows: int
    length: int
    scored: int
    blocks: tuple[tuple[int, int], ...] = ()
    trunk: int = 0
    windowed: bool = False
    window_blocks: tuple[tuple[int, int], ...] = ()
    tiles: int = 0

    @classmethod
    def of(cls, batch: MicroBatch) -> CutShape:
        """The shape of a micro-batch."""
        rows, length = batch.tokens.shape
        return cls(
            rows,
            length,
            len(batch.predict),
            _sizes(batch.blocks),
            batch.trunk,
            batch.window is not None,
            _sizes(batch.window_blocks),
            0 if batch.tiles is None else batch.tiles.count,
        )

    @property
    def positions(self) -> int:
        """Layout tokens, padding included."""
        return self.rows * self.length

    @property
    def cells(self) -> int:
        """Cells of the attention matrix that are computed, for one head."""
        return attention_cells(self.rows, self.length, self.blocks, self.trunk, self.tiles)

    @property
    def in_window(self) -> CutShape:
        """The same cut as the base's windowed layers see it."""
        if not self.window_blocks:
            return self
        return replace(self, blocks=self.window_blocks, trunk=0)

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


def scored_everywhere(batches: Sequence[MicroBatch]) -> tuple[CutShape, ...]:
    """The same where every position goes through the output head, whether its loss counts or not."""
    return tuple(replace(cut, scored=cut.positions) for cut in shapes_of(batches))


def _sizes(blocks: Sequence[Block]) -> tuple[tuple[int, int], ...]:
    return tuple((block.queries, len(block.columns)) for block in blocks)


def _blank_blocks(sizes: Sequence[tuple[int, int]]) -> tuple[Block, ...]:
    """Blocks of these queries and keys, whose columns are the last ones before their end."""
    ends = accumulate(queries for queries, _ in sizes)
    return tuple(
        Block(end - queries, end, np.arange(end - keys, end, dtype=np.int64))
        for end, (queries, keys) in zip(ends, sizes, strict=True)
    )


def blank_micro_batch(cut: CutShape, window: int | None = None) -> MicroBatch:
    """A micro-batch of which only the shape matters: every position sees all before it in its row.

    A window, that of the base's layers, hides something where the cut says that it does.
    """
    hides = cut.windowed and window is not None
    grid = np.zeros((cut.rows, cut.length), dtype=np.int64)
    flat = np.arange(cut.scored, dtype=np.int64) % cut.positions
    return MicroBatch(
        tokens=grid + 7,
        positions=grid + (np.arange(cut.length, dtype=np.int64) if hides else 0),
        reach=grid + cut.length,
        predict=flat,
        labels=np.full(cut.scored, 5, dtype=np.int64),
        sample=np.zeros(cut.scored, dtype=np.int64),
        blocks=_blank_blocks(cut.blocks),
        trunk=cut.trunk,
        window=window if hides else None,
        window_blocks=_blank_blocks(cut.window_blocks) if hides else (),
    )
