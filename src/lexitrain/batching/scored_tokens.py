"""Which tokens of a sample a loss scores, whatever its layout."""

from __future__ import annotations

from typing import TYPE_CHECKING, Literal

import numpy as np

from lexitrain.batching.query_blocks import Integers

if TYPE_CHECKING:
    from lexitrain.samples import Sample

LossName = Literal["completion", "all_tokens"]


def scored_depths(sample: Sample, loss: LossName) -> Integers:
    """Depths (0 is the sample's first token) whose successor is scored, ascending.

    The last prompt token predicts the first completion token, so that the depths of `completion` begin there.
    """
    if loss == "all_tokens":
        return np.arange(len(sample) - 1, dtype=np.int64)
    return np.flatnonzero(sample.supervised) + len(sample.prompt_ids) - 1
