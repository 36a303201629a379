"""Two samples of the data on which a step's layout is held against the base alone.

The shortest ones of one task: they begin alike, so that the layout `tree` really shares something, and cost a pass
over some hundred tokens.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from lexitrain.samples import Sample, Samples


def two_samples(samples: Samples) -> list[Sample]:
    """The shortest sample, and the next one of its task that asks something else; fewer where there are none."""
    order = np.argsort(samples.lengths, kind="stable")
    first: Sample = samples[int(order[0])]
    same = order[samples.task_numbers[order] == samples.task_numbers[order[0]]]
    for index in same[1:]:
        other: Sample = samples[int(index)]
        if not np.array_equal(other.prompt_ids, first.prompt_ids):
            return [first, other]
    return [first]
