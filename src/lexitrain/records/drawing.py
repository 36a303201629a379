"""Drawing some records of many at random, without knowing how many there are.

Reservoir sampling (Algorithm R; Vitter 1985, "Random Sampling with a Reservoir"): one pass, memory for what is kept.
The same records, limit and seed give the same draw.
"""

from __future__ import annotations

from collections.abc import Iterable
from random import Random

from lexitrain.records.record import Record


def draw_records(records: Iterable[Record], limit: int, seed: int) -> tuple[list[Record], int]:
    """Up to `limit` of the records, each as likely as any other, and how many there were.

    The result is in the order of the records where all are kept, and in no order otherwise.
    """
    draw = Random(seed)
    kept: list[Record] = []
    count = 0
    for record in records:
        count += 1
        if len(kept) < limit:
            kept.append(record)
        elif (place := draw.randrange(count)) < limit:
            kept[place] = record
    return kept, count
