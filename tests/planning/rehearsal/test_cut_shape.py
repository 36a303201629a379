"""A micro-batch's shape, and a micro-batch of that shape."""

from __future__ import annotations

import numpy as np
import pytest

from lexitrain.planning.rehearsal.cut_shape import CutShape, blank_micro_batch, shapes_of

SHAPES = (
    CutShape(1, 200, 60),
    CutShape(4, 64, 256),
    CutShape(1, 300, 60, ((192, 192), (58, 100), (50, 150))),
    CutShape(1, 300, 60, ((192, 192), (58, 80), (50, 50)), trunk=192),
    CutShape(1, 300, 60, ((250, 250), (50, 150)), 0, True, ((250, 250), (50, 90))),
)


def test_a_blank_micro_batch_has_the_shape_that_was_asked_for():
    assert shapes_of([blank_micro_batch(shape, window=60) for shape in SHAPES]) == SHAPES


@pytest.mark.parametrize("shape", SHAPES)
def test_its_content_is_valid(shape: CutShape):
    batch = blank_micro_batch(shape)
    assert batch.predict.max() < shape.positions
    assert (batch.reach > batch.positions).all()
    start = 0
    for block, (queries, keys) in zip(batch.blocks, shape.blocks, strict=True):
        assert (block.start, block.queries, len(block.columns)) == (start, queries, keys)
        start = block.end
        assert len(np.unique(block.columns)) == keys
        assert 0 <= block.columns.min() <= block.columns.max() < start
    assert batch.layout_tokens == shape.positions


def test_cells_are_those_of_blocks_and_trunk_or_of_whole_rows():
    whole, _, blocks, trunk, _ = SHAPES
    assert whole.cells == 200**2
    assert blocks.cells == 192 * 192 + 58 * 100 + 50 * 150
    assert trunk.cells == 192 * 192 + 58 * 80 + 50 * 50 + 192 * (300 - 192)
