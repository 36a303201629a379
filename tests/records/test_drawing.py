from __future__ import annotations

from collections import Counter

import pytest

from lexitrain.records.drawing import draw_records
from lexitrain.records.record import Record

RECORDS = [Record("grammar", f"Text {n}", "Text", {}) for n in range(10)]


@pytest.mark.parametrize("limit", [10, 50])
def test_few_records_are_all_kept_in_their_order(limit: int) -> None:
    assert draw_records(iter(RECORDS), limit, seed=1) == (RECORDS, 10)


def test_of_many_never_more_than_the_limit_are_kept_each_as_likely_as_any_other() -> None:
    drawn: Counter[str] = Counter()
    for seed in range(3000):
        kept, count = draw_records(iter(RECORDS), 4, seed)
        assert (len(kept), count) == (4, 10)
        drawn.update({record.input for record in kept})
    assert drawn.total() == 12_000  # none was drawn twice
    assert all(1080 <= drawn[record.input] <= 1320 for record in RECORDS)  # 1200, 4.5 deviations


def test_the_same_seed_gives_the_same_draw() -> None:
    assert draw_records(RECORDS, 4, 7) == draw_records(RECORDS, 4, 7)
    assert draw_records(RECORDS, 4, 7) != draw_records(RECORDS, 4, 8)
