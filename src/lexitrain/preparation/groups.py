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
"""A beginning that texts go on from in more ways than this is a common opening, such as a greeting; a part that stands
in more texts than this is common, too."""

_SENTENCE = 4  # words
_FEW_WAYS = 3


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
    texts: NDArray[np.uint64], openings: NDArray[np.uint64], beginnings: NDArray[np.int32]
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
    ends = np.cumsum(beginnings, dtype=np.int64)
    owners = np.searchsorted(ends, found, side="right")
    last = ends[owners] - 1
    further = openings[np.minimum(found + 1, len(openings) - 1)]
    after = np.where(found == last, texts[owners], further)
    place = place[found]
    distinct = np.unique(mixed(openings[found]) ^ after, return_index=True)[1]
    ways_on = np.bincount(place[distinct], minlength=len(whole))
    linking = ways_on[place] <= MOST_WAYS_ON
    return owners[linking], first[place[linking]]


def sharing_excerpts(
    texts: NDArray[np.uint64], excerpts: NDArray[np.void], counts: NDArray[np.int32]
) -> Links:
    """Links the records that hold the same learner's text, each with an instruction of its own around it.

    An excerpt that is the whole text of another record is the learner's. One that several records share is the
    learner's or the instruction: what stands around an instruction differs from record to record, and what stands
    around the learner's text is the instruction, which many share. Where nothing is shared around it, a sentence that
    only a few records hold links them. An excerpt in more than twenty texts is common and links nothing.

    Args:
        texts: [records] hash of each whole text.
        excerpts: of `EXCERPT`, one record's after the other's.
        counts: [records] how many of them each record has.
    """
    if not len(excerpts):
        return np.empty(0, np.int64), np.empty(0, np.int64)
    owners = np.repeat(np.arange(len(texts)), counts)
    _, first, shared = np.unique(excerpts["text"], return_index=True, return_inverse=True)
    ways = _distinct_texts(shared, texts[owners])
    frames = np.unique(excerpts["around"], return_inverse=True)[1]
    frame_ways = _distinct_texts(frames, texts[owners])
    widest = np.zeros(len(first), np.int64)
    np.maximum.at(widest, shared, frame_ways[frames])
    shortest = np.full(len(first), _SENTENCE, np.uint8)
    np.minimum.at(shortest, shared, excerpts["words"])
    sentence = (shortest >= _SENTENCE) & (ways <= _FEW_WAYS)
    is_the_learners = (ways <= MOST_WAYS_ON) & ((widest >= ways) | sentence)

    whole, whose = np.unique(texts, return_index=True)
    place = np.minimum(np.searchsorted(whole, excerpts["text"]), len(whole) - 1)
    found = (whole[place] == excerpts["text"]) & (ways[shared] <= MOST_WAYS_ON)
    linking = is_the_learners[shared]
    return (
        np.concatenate([owners[found], owners[linking]]),
        np.concatenate([whose[place[found]], owners[first[shared[linking]]]]),
    )


def _distinct_texts(values: NDArray[np.int64], texts: NDArray[np.uint64]) -> NDArray[np.int64]:
    """For each value, numbered from 0, how many distinct texts have it."""
    salted = mixed(values.astype(np.uint64) + np.uint64(1)) ^ texts
    distinct = np.unique(salted, return_index=True)[1]
    return np.bincount(values[distinct], minlength=int(values.max()) + 1)


def _links(key: NDArray[np.uint64]) -> Links:
    """Each record with a key, and the first record that has the same one."""
    owners = np.flatnonzero(key)
    _, first, group = np.unique(key[owners], return_index=True, return_inverse=True)
    leaders = owners[first[group]]
    linked = leaders != owners
    return owners[linked], leaders[linked]
