from __future__ import annotations

import numpy as np

from lexitrain.preparation.duplicates import BANDS
from lexitrain.preparation.record_table import ROW, RecordTable
from lexitrain.preparation.scan import Rules, Scanner
from lexitrain.records.chunk import Chunk

LONG = " ".join(f"word{n}" for n in range(25))


def test_a_row_is_small() -> None:
    assert ROW.itemsize <= 60


def test_parts_are_joined_with_their_places_moved() -> None:
    rows = [
        {"task": "dialogue", "input": "A: Hi\nB: Hello\nA: Bye", "output": {"response": "x", "strategy": "y"}},
        {"task": "grammar", "input": "Short", "output": "Short.", "metadata": {"group": "one"}},
        {"task": "fluency", "input": LONG, "output": {"fluency_score": 1}},
    ]  # fmt: skip
    scanner = Scanner(Rules())
    numbered = list(enumerate(rows, start=1))
    whole = scanner.scan(Chunk("a", 0, rows=numbered)).table
    parts = [scanner.scan(Chunk("a", 0, rows=[row])).table for row in numbered]
    joined = RecordTable.joined(parts)
    assert np.array_equal(joined.rows, whole.rows)
    assert np.array_equal(joined.beginnings, whole.beginnings)
    assert joined.long.tolist() == whole.long.tolist() == [2]
    assert np.array_equal(joined.bands, whole.bands)
    assert joined.rows["beginnings"].tolist() == [2, 0, 0]
    assert (joined.rows["group"] > 0).tolist() == [False, True, False]
    assert [scanner.names[task] for task in joined.rows["task"]] == [
        "dialogue",
        "grammar",
        "fluency",
    ]


def test_nothing_joined_is_an_empty_table() -> None:
    empty = RecordTable.joined([])
    assert (len(empty.rows), len(empty.beginnings), len(empty.long)) == (0, 0, 0)
    assert empty.bands.shape == (0, BANDS)
