"""Batching: which samples a step takes, and how they are laid out and cut. Only numpy; about a millisecond a step."""

from __future__ import annotations

from lexitrain.batching.cuts import CutCost
from lexitrain.batching.decoder_shape import DecoderShape
from lexitrain.batching.few_shapes import MOST_RECORDED
from lexitrain.batching.layout import step_tokens
from lexitrain.batching.micro_batch import IGNORED, MicroBatch
from lexitrain.batching.process_shares import deal
from lexitrain.batching.query_blocks import TILE, Block, attention_cells
from lexitrain.batching.sample_order import Cursor, SampleOrder, fixed_subset
from lexitrain.batching.step_layout import StepLayout

__all__ = [
    "IGNORED",
    "MOST_RECORDED",
    "TILE",
    "Block",
    "Cursor",
    "CutCost",
    "DecoderShape",
    "MicroBatch",
    "SampleOrder",
    "StepLayout",
    "attention_cells",
    "deal",
    "fixed_subset",
    "step_tokens",
]
