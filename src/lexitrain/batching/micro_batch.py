"""A micro-batch: what one forward and backward pass computes, as arrays.

Laying out (`layout.py`) makes it, the step (`lexitrain.step`) computes it. Only numpy is used.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from lexitrain.batching.query_blocks import Block, Integers, Tiles, attention_cells

IGNORED = -100
"""Label of a position whose hidden state goes through the output head without being scored: PyTorch's own
`ignore_index`, so that labels can be handed to any trainer."""


@dataclass(frozen=True, slots=True)
class MicroBatch:
    """One forward and backward pass: `B` rows of `L` positions, of which `S` predict a token.

    `tree` and `packed` have one row; `padded` has one row a sample.
    """

    tokens: Integers  # [B, L]
    positions: Integers  # [B, L], the depth in the tree, 0 for padding
    reach: Integers  # [B, L], exclusive end of the subtree as a column index; a pad reaches itself only
    predict: Integers  # [S], flat index (row * L + column) of the hidden states to score
    labels: Integers  # [S], the token each of them predicts, or IGNORED
    sample: Integers  # [S], index in the step's list of samples
    blocks: tuple[Block, ...] = ()  # of the only row, in order; empty: attention is over whole rows
    trunk: int = 0  # columns at its beginning that all later queries see, left out of their blocks
    # Of the base's windowed layers, where a position lies deeper than their window reaches; and their blocks, the
    # trunk's columns among theirs.
    window: int | None = None
    window_blocks: tuple[Block, ...] = ()
    tiles: Tiles | None = None  # of the attention matrix, where hidden ones are left out

    @property
    def layout_tokens(self) -> int:
        """Positions computed, padding included."""
        return int(self.tokens.size)

    @property
    def supervised_tokens(self) -> int:
        """Tokens that enter the loss."""
        return int(np.count_nonzero(self.labels != IGNORED))

    @property
    def cells(self) -> int:
        """Cells of the attention matrix that are computed, for one head."""
        rows, length = self.tokens.shape
        blocks = [(block.queries, len(block.columns)) for block in self.blocks]
        tiles = 0 if self.tiles is None else self.tiles.count
        return attention_cells(rows, length, blocks, self.trunk, tiles)
