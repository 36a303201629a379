from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from benchmarks.jfleg import oracle, scores, split_of_test

from lexitrain.tasks.metrics.gleu import gleu, gleu_counts
from tests.corpora import real_data


def gleu_of(source: str, answer: str, reference: str) -> float:
    counts = gleu_counts(source.split(), answer.split(), reference.split())
    return float(gleu(np.array(counts)))


def test_gleu_by_hand():
    assert gleu_of("a b x d", "a b c d", "a b c d") == pytest.approx(1.0)
    # Unchanged: 4 of 5 words shared, and the source's x is not wanted: 4 - 1 of 5; 2-grams 3 - 1 of 4;
    # 3-grams 2 - 1 of 3; 4-grams 1 - 1 of 2, which makes the score 0.
    assert gleu_counts(
        ["a", "b", "c", "d", "x"], ["a", "b", "c", "d", "x"], ["a", "b", "c", "d", "y"]
    ) == [*(5, 5, 3, 5, 2, 4, 1, 3, 0, 2)]
    assert gleu_of("a b c d x", "a b c d x", "a b c d y") == 0.0
    # A new wrong word is not held against the answer twice: 5 of 6, 4 of 5, 3 of 4, 2 of 3.
    expected = (5 / 6 * 4 / 5 * 3 / 4 * 2 / 3) ** 0.25
    assert gleu_of("a b c d e q", "a b c d e z", "a b c d e f") == pytest.approx(expected)
    # Too short: brevity penalty e^(1 - 5/4).
    assert gleu_of("a b c d e", "a b c d", "a b c d e") == pytest.approx(np.exp(1 - 5 / 4))


@pytest.mark.real_data
def test_on_jfleg_it_is_that_of_the_package_gleu():
    """With a single reference there is nothing to draw; what differs is how a text is cut into tokens."""
    real_data()
    records = split_of_test()[:200]
    for number in (0, 3):
        answers = [record.metadata["references"][(number + 1) % 4] for record in records]
        one = [
            replace(record, metadata={"references": [record.metadata["references"][number]]})
            for record in records
        ]
        assert scores(one, answers)["gleu"] == pytest.approx(oracle(one, answers), abs=0.35)
