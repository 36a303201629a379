"""Samples in rows of one length, the common way: what a tree is measured against."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

import numpy as np

from lexitrain.batching.micro_batch import IGNORED, MicroBatch
from lexitrain.batching.scored_tokens import LossName, scored_depths
from lexitrain.errors import RecipeError

if TYPE_CHECKING:
    from lexitrain.samples import Sample


def padded_batches(
    samples: Sequence[Sample],
    *,
    loss: LossName,
    max_length: int,
    pad_id: int,
    token_budget: int | None,
    micro_batch: int | None,
    window: int | None,
) -> list[MicroBatch]:
    """Rows of `max_length`, one a sample, as many a micro-batch as `micro_batch` or the token budget says.

    With `all_tokens` the output head runs over every position, padding included, as the usual trainer's does: a row
    then scores `max_length` hidden states, and those with nothing to predict have the label IGNORED.

    Raises:
        RecipeError: a sample is longer than `max_length`.
    """
    longest = max(len(sample) for sample in samples)
    if longest > max_length:
        raise RecipeError(
            f"A sample has {longest} tokens and the padded layout rows of {max_length}.",
            where="data.max_length",
            fix=f"Set data.max_length to at least {longest}.",
        )
    rows = micro_batch
    if rows is None:
        rows = len(samples) if token_budget is None else max(1, token_budget // max_length)
    return [
        _rows(
            samples,
            range(start, min(start + rows, len(samples))),
            loss,
            max_length,
            pad_id,
            window if window is not None and longest > window else None,
        )
        for start in range(0, len(samples), rows)
    ]


def _rows(
    samples: Sequence[Sample],
    indices: range,
    loss: LossName,
    max_length: int,
    pad_id: int,
    window: int | None,
) -> MicroBatch:
    shape = (len(indices), max_length)
    tokens = np.full(shape, pad_id, dtype=np.int64)
    positions = np.zeros(shape, dtype=np.int64)
    reach = np.tile(np.arange(1, max_length + 1, dtype=np.int64), (len(indices), 1))
    labels = np.full(shape, IGNORED, dtype=np.int64)
    scored = np.full(shape, loss == "all_tokens")
    for row, index in enumerate(indices):
        sample = samples[index]
        length = len(sample)
        tokens[row, :length] = sample.token_ids
        positions[row, :length] = np.arange(length)
        reach[row, :length] = length
        depths = scored_depths(sample, loss)
        labels[row, depths] = tokens[row, depths + 1]
        scored[row, depths] = True
    predict = np.flatnonzero(scored)
    return MicroBatch(
        tokens=tokens,
        positions=positions,
        reach=reach,
        predict=predict,
        labels=labels.ravel()[predict],
        sample=predict // max_length + indices.start,
        window=window,
    )
