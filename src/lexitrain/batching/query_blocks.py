"""Attention by blocks: runs of a row's queries, and the columns that each of them may see.

Queries that follow each other see their own columns and those whose subtree is still open where they begin, and nothing
else. So a row falls into blocks, each with its list of columns, and the cells of the attention matrix outside of them
are never computed: long instructions that all samples share cost each sample its own cells alone.

A GPU's kernel goes by tiles of fixed size instead, which it computes whole or not at all (FlexAttention). Which of them
hold a pair that sees each other follows from the layout as well.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise

import numpy as np
from numpy.typing import NDArray

Integers = NDArray[np.int64]
Flags = NDArray[np.bool_]

TILE = 128
"""Queries and keys of a tile of FlexAttention, which computes a tile whole or not at all."""
_WIDE = 192
"""From so many queries on PyTorch's CPU kernel works in larger tiles: measured, 115 instead of 75 GFLOP/s."""
_NARROW = 1.5
"""How much more a cell costs in a block of fewer queries: 115 / 75."""
_CALL = 1000.0
"""What a block costs besides its cells, in cells."""
_MERGE = 25.0
"""What it costs to put the two halves of a query's softmax together, in cells."""


@dataclass(frozen=True, slots=True)
class Block:
    """Consecutive queries of a row, and the columns that they may see: a superset of what each of them does see.

    Attributes:
        start, end: the queries are the columns from `start` to before `end`.
        columns: [K] ascending; the block's own are the last `end - start`.
    """

    start: int
    end: int
    columns: Integers

    @property
    def queries(self) -> int:
        """Their number."""
        return self.end - self.start


@dataclass(frozen=True, slots=True)
class Span:
    """A sample's own columns, and those before them on its path."""

    start: int
    end: int
    above: Integers


def attention_cells(
    rows: int, length: int, blocks: Sequence[tuple[int, int]], trunk: int, tiles: int = 0
) -> int:
    """Cells of the attention matrix that are computed, for one head.

    Args:
        rows, length: of the micro-batch.
        blocks: queries and keys of each block of its only row; none where attention is over whole rows.
        trunk: columns at the row's beginning that all later queries see besides their block's.
        tiles: of all rows, where attention leaves out those that the rule hides; else 0.
    """
    if tiles:
        return tiles * TILE**2
    if not blocks:
        return rows * length**2
    return sum(queries * keys for queries, keys in blocks) + trunk * (length - trunk)


def cheapest_blocks(spans: Sequence[Span]) -> tuple[int, tuple[Block, ...]]:
    """How many columns to take as a trunk, and the row's blocks.

    With a trunk (the columns that all samples share), later blocks leave its columns out, and all queries after it get
    one more call for them. Without one, blocks that follow each other have to be wide so that the kernel is fast, and
    in a wide block samples pay for each other's columns.
    """
    plain, blocks = _cheapest(spans)
    trunk = min((len(span.above) for span in spans[1:]), default=0)
    if not trunk:
        return 0, blocks
    first, *others = spans
    none = first.above
    below, in_trunk = _cheapest([Span(0, trunk, none)])
    later, after = _cheapest(
        [
            Span(trunk, first.end, none),
            *(Span(span.start, span.end, span.above[trunk:]) for span in others),
        ]
    )
    queries = spans[-1].end - trunk
    once = _CALL + queries * (trunk * _rate(queries) + _MERGE)
    if below + later + once < plain:
        return trunk, in_trunk + after
    return 0, blocks


def within_window(
    blocks: Sequence[Block], trunk: int, depths: Integers, window: int
) -> tuple[Block, ...]:
    """The same blocks for layers in which a query sees only the nearest `window` tokens of its path, itself among them.

    Args:
        blocks: of the row.
        trunk: columns that are left out of the blocks after them; here they are put back, as far as they are seen.
        depths: [L] of the row's columns, along their paths.
        window: of the layers.
    """
    found: list[Block] = []
    for block in blocks:
        columns = block.columns
        if block.start >= trunk:
            columns = np.concatenate([np.arange(trunk, dtype=np.int64), columns])
        # Whoever is deepest in reach of the block's first queries is in reach of none that lies deeper.
        nearest = int(depths[block.start : block.end].min()) - window
        found.append(Block(block.start, block.end, columns[depths[columns] > nearest]))
    return tuple(found)


def _cheapest(spans: Sequence[Span]) -> tuple[float, tuple[Block, ...]]:
    """The cost and the blocks: runs of short samples, or parts of a long one, with the least total cost.

    Samples that follow in a block branch off no deeper than from the first one's path or from the block's own columns,
    so that the first one's path is all that any of them sees before the block.
    """
    parts = [part for span in spans for part in _parts(span)]
    starts = np.array([part.start for part in parts])
    above = np.array([len(part.above) for part in parts])
    best = np.zeros(len(parts) + 1)
    come_from = [0] * (len(parts) + 1)
    for end in range(1, len(parts) + 1):
        queries = parts[end - 1].end - starts[:end]
        cells = queries * (above[:end] + queries)
        totals = best[:end] + _CALL + cells * _rate(queries)
        come_from[end] = int(np.argmin(totals))
        best[end] = totals[come_from[end]]
    found: list[Block] = []
    end = len(parts)
    while end:
        first, last = parts[come_from[end]], parts[end - 1]
        own = np.arange(first.start, last.end, dtype=np.int64)
        found.append(Block(first.start, last.end, np.concatenate([first.above, own])))
        end = come_from[end]
    return float(best[-1]), tuple(found[::-1])


def _rate(queries: Integers | int) -> NDArray[np.float64]:
    """What a cell costs in a block of so many queries."""
    return np.where(np.asarray(queries) < _WIDE, _NARROW, 1.0)


def _parts(span: Span) -> list[Span]:
    """A sample's own columns in even parts, so that the first ones need not see the last ones' keys."""
    length = span.end - span.start
    count = -(-length // _WIDE)
    borders = [span.start + length * part // count for part in range(count + 1)]
    return [
        Span(start, end, np.concatenate([span.above, np.arange(span.start, start)]))
        for start, end in pairwise(borders)
    ]


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
