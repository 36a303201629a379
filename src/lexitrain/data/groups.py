"""Groups: the records that must stay on one side of a split.

Records that share a key (the sentence they were made from, or the same text) belong together, and so do those that
are linked through others. That is connected components; they are found by numpy in a few sweeps over all edges
(hooking and pointer jumping, after Shiloach and Vishkin 1982), about a second for a million records.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray


def connected_groups(keys: Sequence[NDArray[np.uint64]]) -> NDArray[np.int64]:
    """The group of each record: 0 to groups - 1, in order of first appearance.

    Args:
        keys: arrays [records]; records with the same non-zero value in one of them are linked.
    """
    count = len(keys[0])
    root = np.arange(count)
    links = [_links(key) for key in keys]
    ends = np.concatenate([link[0] for link in links]), np.concatenate([link[1] for link in links])
    while True:
        one, other = root[ends[0]], root[ends[1]]
        if np.array_equal(one, other):
            break
        lower, higher = np.minimum(one, other), np.maximum(one, other)
        np.minimum.at(root, higher, lower)
        jumped = root[root]
        while not np.array_equal(jumped, root):
            root, jumped = jumped, jumped[jumped]
    return np.unique(root, return_inverse=True)[1]


def _links(key: NDArray[np.uint64]) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """Each record with a key, and the first record that has the same one."""
    owners = np.flatnonzero(key)
    _, first, group = np.unique(key[owners], return_index=True, return_inverse=True)
    leaders = owners[first[group]]
    linked = leaders != owners
    return owners[linked], leaders[linked]
