"""Whether every sample teaches the model to stop: its last token ends an answer, and is learnt.

Rendering makes it so. A model that is trained on samples without it has a healthy loss and never stops, so it is looked
at once more, on what is really trained on; some microseconds a thousand samples.
"""

from __future__ import annotations

from collections.abc import Set
from typing import TYPE_CHECKING

import numpy as np

from lexitrain.errors import ModelError, number_of

if TYPE_CHECKING:
    from lexitrain.samples.store import Samples


def rows_without_stop(samples: Samples, stop_ids: Set[int]) -> list[int]:
    """Rows of the samples whose last token ends no answer, or is not learnt."""
    if not len(samples):
        return []
    last = samples.starts[1:] - 1
    stops = np.isin(samples.tokens[last], list(stop_ids)) & samples.supervised[last]
    return [int(row) for row in samples.rows[~stops]]


def require_stop_tokens(samples: Samples, stop_ids: Set[int], where: object) -> None:
    """Nothing, where every sample ends with a token that ends an answer, and learns it.

    Args:
        samples: those to train on.
        stop_ids: at which an answer ends.
        where: the file that they were made from.

    Raises:
        ModelError: some do not.
    """
    rows = rows_without_stop(samples, stop_ids)
    if rows:
        raise ModelError(
            f"{len(rows):,} of {number_of(len(samples), 'sample')} {'does' if len(samples) == 1 else 'do'} not end "
            "with a learnt end of turn, the first one in line "
            f"{rows[0] + 1}: a model that is trained on them does not stop.",
            where=where,
            fix="The base's chat template has to end an answer with a token of its own; see docs/templates.md.",
        )
