"""Micro-batches of few shapes, so that what a GPU starts for one can be recorded once and started as a whole again.

A CUDA graph holds the sizes of all tensors. Rows are padded to few lengths and the scored positions to few numbers; a
pad sees itself alone and is not scored, so that nothing is computed for it that enters the loss.
"""

from __future__ import annotations

from dataclasses import replace

import numpy as np

from lexitrain.batching.micro_batch import IGNORED, MicroBatch
from lexitrain.batching.query_blocks import Integers

LENGTHS = np.array([128, 256, 384, 512, 768, 1024, 1280, 1536, 1792, 2048, 2560, 3072, 4096])
"""Of rows, tokens; at most a third is padding from 256 on. A longer row has a length of its own."""
SCORED = 128
"""Scored positions are padded to a multiple of it."""
MOST_RECORDED = 12
"""Shapes that are recorded, of a run's steps and as many of its validations: each holds its inputs and what its kernels
were told."""
SHORTEST = 256
"""Of rows that FlexAttention sees, tokens: for 128 and fewer it is compiled anew."""


def row_lengths(tokens: Integers, bucket: int, few: bool, least: int = 0) -> Integers:
    """Lengths of rows that hold so many tokens.

    Args:
        tokens: any shape.
        bucket: of which they are multiples.
        few: whether they are among few lengths besides.
        least: the shortest one.
    """
    tokens = np.maximum(tokens, least)
    if few:
        place = np.searchsorted(LENGTHS, tokens)
        tokens = np.where(
            place < len(LENGTHS), LENGTHS[np.minimum(place, len(LENGTHS) - 1)], tokens
        )
    return -(-tokens // bucket) * bucket


def with_few_scored(batch: MicroBatch) -> MicroBatch:
    """The micro-batch with its scored positions padded; those that are added have the label IGNORED."""
    more = -len(batch.predict) % SCORED
    if not more:
        return batch
    zeros = np.zeros(more, dtype=np.int64)
    return replace(
        batch,
        predict=np.concatenate([batch.predict, zeros]),
        labels=np.concatenate([batch.labels, np.full(more, IGNORED, dtype=np.int64)]),
        sample=np.concatenate([batch.sample, zeros + batch.sample[0]]),
    )
