from __future__ import annotations

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from lexitrain.preparation.groups import connected_groups

PAIRS = st.lists(st.tuples(st.integers(0, 12), st.integers(0, 12)), min_size=1, max_size=40)


@given(PAIRS)
def test_groups_are_the_connected_components(pairs: list[tuple[int, int]]) -> None:
    keys = [np.array(column, np.uint64) for column in zip(*pairs, strict=True)]
    groups = connected_groups(keys).tolist()
    for one in range(len(pairs)):
        reached = {one}
        while True:
            more = {
                other
                for other in range(len(pairs))
                for known in reached
                if any(a == b != 0 for a, b in zip(pairs[other], pairs[known], strict=True))
            }
            if more <= reached:
                break
            reached |= more
        assert {other for other in range(len(pairs)) if groups[other] == groups[one]} == reached


def test_a_long_chain_is_one_group() -> None:
    count = 20_000
    order = np.random.default_rng(0).permutation(count).astype(np.uint64) + np.uint64(1)
    left, right = (order + 1) // 2, order // 2 + np.uint64(count)
    assert set(connected_groups([left, right]).tolist()) == {0}
