"""Groups: the records that must stay on one side of a split.

Records that share a key (the sentence they were made from, or the same text) belong together, and so do a conversation
and one that goes on with it, and so do those that are linked through others. That is connected components; they are
found by numpy in a few sweeps over all edges (hooking and pointer jumping, after Shiloach and Vishkin 1982), about a
second for a million records.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from lexitrain.preparation.duplicates import mixed

Links = tuple[NDArray[np.int64], NDArray[np.int64]]
"""Pairs of records that belong together: [pairs] the one, [pairs] the other."""

MOST_WAYS_ON = 20
"""A beginning that texts go on from in more ways than this is a common opening, such as a greeting."""


def connected_groups(
    keys: Sequence[NDArray[np.uint64]], links: Sequence[Links] = ()
) -> NDArray[np.int64]:
    """The group of each record: 0 to groups - 1, in order of first appearance.

    Args:
        keys: arrays [records]; records with the same non-zero value in one of them are linked.
        links: further pairs that are linked.
    """
    count = len(keys[0])
    root = np.arange(count)
    pairs = [*(_links(key) for key in keys), *links]
    ends = np.concatenate([pair[0] for pair in pairs]), np.concatenate([pair[1] for pair in pairs])
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


def continued(
    texts: NDArray[np.uint64], openings: NDArray[np.uint64], beginnings: NDArray[np.int64]
) -> Links:
    """Links each text to the one that it goes on from: a conversation to the same one, some turns earlier.

    A common opening links nothing: "Hello!" does not make one conversation of all that begin so. It is told by the
    number of ways in which texts go on from it, which is one or few for a conversation that grew.

    Args:
        texts: [records] hash of each whole text.
        openings: hashes of the proper beginnings of the texts, shortest first, one text after the other.
        beginnings: [records] how many of them each text has.
    """
    # A beginning that is nobody's whole text cannot link: most of them leave here.
    whole, first = np.unique(texts, return_index=True)
    place = np.minimum(np.searchsorted(whole, openings), len(whole) - 1)
    found = np.flatnonzero(whole[place] == openings)
    ends = np.cumsum(beginnings)
    owners = np.searchsorted(ends, found, side="right")
    last = ends[owners] - 1
    further = openings[np.minimum(found + 1, len(openings) - 1)]
    after = np.where(found == last, texts[owners], further)
    place = place[found]
    distinct = np.unique(mixed(openings[found]) ^ after, return_index=True)[1]
    ways_on = np.bincount(place[distinct], minlength=len(whole))
    linking = ways_on[place] <= MOST_WAYS_ON
    return owners[linking], first[place[linking]]


def _links(key: NDArray[np.uint64]) -> Links:
    """Each record with a key, and the first record that has the same one."""
    owners = np.flatnonzero(key)
    _, first, group = np.unique(key[owners], return_index=True, return_inverse=True)
    leaders = owners[first[group]]
    linked = leaders != owners
    return owners[linked], leaders[linked]
