from __future__ import annotations

import json

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from lexitrain.errors import InputError
from lexitrain.samples.lengths import covering_length, distribution, length_report, longest_of_each


def counts(*values: int) -> np.ndarray:
    return np.array(values, np.int64)


def test_percentiles_are_lengths_that_occur() -> None:
    found = distribution(np.arange(1, 101))
    assert (found.p50, found.p90, found.p95, found.p99, found.max) == (50, 90, 95, 99, 100)
    assert found.mean == 50.5
    assert distribution(counts(7)).p50 == 7


@given(
    st.lists(st.integers(1, 900), min_size=1, max_size=60),
    st.sampled_from([0.5, 0.9, 0.95, 0.99, 1.0]),
)
def test_the_covering_length_is_the_smallest_that_covers(lengths: list[int], share: float) -> None:
    totals = counts(*lengths)
    length = covering_length(totals, share)
    assert length % 32 == 0
    assert np.mean(totals <= length) >= share
    assert length == 32 or np.mean(totals <= length - 32) < share


def test_padding_to_the_longest_of_a_micro_batch() -> None:
    assert longest_of_each(counts(3, 5, 2, 9, 4), 2).tolist() == [5, 5, 9, 9, 4]


def test_the_report_counts_padding_per_step() -> None:
    report = length_report(
        prompts=counts(80, 10, 30, 40),
        completions=counts(20, 10, 10, 20),
        tasks=["b", "a", "a", "b"],
        steps=[counts(0, 1), counts(2, 3)],
        max_length=64,
        effective_batch=2,
        micro_batch=2,
        packed={"packed": [84, 100], "tree": [70, 80]},
        shares=(0.8,),
    )
    assert list(report.tasks) == ["a", "b", "all"]
    assert report.tasks["b"].prompt.max == 80
    assert report.tasks["all"].samples == 4
    assert report.covering == {0.8: 128, 0.9: 128, 0.95: 128, 0.99: 128}
    assert report.shortened == 0.25
    # Step 1: 64 (cut from 100) + 20; step 2: 40 + 60.
    assert report.step_tokens == {
        "real": 92, "padded": 128, "padded_to_longest": 124, "packed": 92, "tree": 75,
    }  # fmt: skip
    assert report.padding_waste["padded"] == pytest.approx(1 - 92 / 128)
    assert report.padding_waste["padded_to_longest"] == pytest.approx(1 - 92 / 124)
    assert json.loads(json.dumps(report.to_json()))["covering"]["0.8"] == 128


def test_no_samples_are_an_input_error() -> None:
    with pytest.raises(InputError, match="no samples"):
        length_report(
            counts(), counts(), [], [], max_length=1, effective_batch=1, micro_batch=1, packed={}
        )
