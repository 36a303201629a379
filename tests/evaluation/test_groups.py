"""Which records are not independent, and what that does to an interval."""

from __future__ import annotations

import numpy as np
import pytest

from lexitrain.errors import DataError
from lexitrain.evaluation.groups import grouped
from lexitrain.records.record import Record
from lexitrain.tasks import bootstrap, mean


def rows(*metadata: dict[str, object]) -> list[tuple[int, Record]]:
    return [(10 * n, Record("grammar", "x", None, each)) for n, each in enumerate(metadata)]


def test_records_of_one_learner_or_document_are_one_group() -> None:
    found = grouped(
        rows({"learner_id": 7}, {"learner_id": 7}, {"document_id": "a"}, {}, {"learner_id": ""})
    )
    assert found.of([0, 10, 20, 30, 40]) == [0, 0, 1, 2, 3]
    assert found.keys == ("learner_id", "document_id")


def test_groups_are_linked_through_others() -> None:
    """A learner's two documents and a document of two learners are all one group."""
    found = grouped(
        rows(
            {"learner_id": 1, "document_id": "a"},
            {"learner_id": 1, "document_id": "b"},
            {"learner_id": 2, "document_id": "b"},
            {"learner_id": 3},
        )
    )
    assert found.of([0, 10, 20, 30]) == [0, 0, 0, 1]


def test_equal_values_of_different_keys_make_no_group() -> None:
    assert len(set(grouped(rows({"learner_id": 1}, {"document_id": 1})).of_row.values())) == 2


def test_the_key_that_is_named_is_the_only_one() -> None:
    records = rows({"class": "x", "group": "g"}, {"class": "x"}, {"group": "g"})
    assert grouped(records, "class").of([0, 10, 20]) == [0, 0, 1]
    with pytest.raises(DataError, match="No record has the key 'form'"):
        grouped(records, "form")


def test_what_holds_no_single_value_makes_no_group() -> None:
    found = grouped(rows({"group": ["a"]}, {"group": ["a"]}, {"group": None}, {"group": None}))
    assert found.keys == ()
    assert len(set(found.of_row.values())) == 4


@pytest.mark.slow
def test_by_group_nominal_intervals_cover_and_by_record_they_do_not() -> None:
    """Forty learners of ten sentences, half of the variance between learners: 400 simulated evaluations."""
    generator = np.random.default_rng(1)
    groups = list(np.repeat(np.arange(40), 10))
    covered = {"by group": 0, "by record": 0}
    for _ in range(400):
        values = generator.normal(0, 1, 40)[groups] + generator.normal(0, 1, 400)
        for name, given in (("by group", groups), ("by record", None)):
            score = bootstrap(mean(values), 400, groups=given)
            assert score.low is not None
            assert score.high is not None
            covered[name] += score.low <= 0 <= score.high
    assert 0.92 <= covered["by group"] / 400 <= 0.98
    assert covered["by record"] / 400 < 0.75
