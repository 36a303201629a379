"""Duplicates: exact ones by a 64-bit key, near ones by banded minimum hashes and then their true similarity.

Two records of a task are exact duplicates when all that their prompts show is equal (`Task.asked`, after
normalization). They are near duplicates when at least 90 % of their three-word shingles are shared (Jaccard
similarity; case and punctuation aside): one changed word in sixty, or other case, punctuation or spacing. Only inputs
of twenty words or more are compared that way. In a short one a single word makes another exercise, and in learner
data case and punctuation may be the very error.

Candidates come from MinHash with banding (Broder 1997; Leskovec et al., Mining of Massive Datasets, ch. 3): 8
bands of 6 minima; a pair at 0.9 agrees in two bands or more with probability 0.98, one at 0.5 with 0.006. Every
candidate's similarity is then computed from the texts. Signatures are computed by numpy over a whole batch; the
search sorts arrays, so that it grows like n log n.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from zlib import crc32

import numpy as np
from numpy.typing import NDArray

SIMILARITY = 0.9  # Jaccard similarity from which two texts are near duplicates
SHORTEST = 20  # words of a text that is compared at all
BANDS = 8
_ROWS = 6  # minima a band
_SHINGLE = 3  # words
_AGREEING_BANDS = 2
# Earlier members of its bucket that a text is compared with: keeps crowded buckets linear.
_NEIGHBOURS = 4

Hashes = NDArray[np.uint64]

# A hash function for each minimum: times an odd number (which loses no bit), plus an offset, modulo 2^64. The seed is
# part of what decides which texts are compared, and so of the result: another one could find other near duplicates.
_random = np.random.default_rng(20)
_HALVES = _random.integers(1, 2**63, BANDS * _ROWS, dtype=np.uint64)
_MULTIPLIERS = _HALVES * np.uint64(2) + np.uint64(1)
_OFFSETS = _random.integers(0, 2**63, BANDS * _ROWS, dtype=np.uint64)


def mixed(values: Hashes) -> Hashes:
    """The finalizer of SplitMix64 (Steele et al. 2014): every input bit changes every output bit, one to one."""
    values = (values ^ (values >> np.uint64(30))) * np.uint64(0xBF58476D1CE4E5B9)
    values = (values ^ (values >> np.uint64(27))) * np.uint64(0x94D049BB133111EB)
    return values ^ (values >> np.uint64(31))


def band_keys(texts: Sequence[list[str]]) -> Hashes:
    """The bucket of each text in each band.

    Args:
        texts: the loose words of each text, `SHORTEST` or more of them.

    Returns:
        [texts, BANDS]; two texts may be near duplicates where their rows agree in a column.
    """
    if not texts:
        return np.empty((0, BANDS), np.uint64)
    lengths = np.fromiter(map(len, texts), np.int64, len(texts))
    words = np.fromiter(
        (crc32(word.encode()) for text in texts for word in text), np.uint64, int(lengths.sum())
    )
    salted = mixed(words)
    # The hash of a shingle takes its words in turn, each times another odd number, so that their order counts.
    shingles = salted.copy()
    for place in range(1, _SHINGLE):
        shingles[:-place] = mixed(shingles[:-place] + np.uint64(2 * place + 1) * salted[place:])
    ends = np.cumsum(lengths)
    keep = np.ones(len(words), bool)
    for place in range(1, _SHINGLE):  # shingles that would run over into the next text
        keep[ends - place] = False
    shingles = shingles[keep]
    starts = np.concatenate(([0], np.cumsum(lengths - (_SHINGLE - 1))[:-1]))
    keys = np.empty((len(texts), BANDS), np.uint64)
    for band in range(BANDS):
        key = np.full(len(texts), band, np.uint64)
        for row in range(band * _ROWS, (band + 1) * _ROWS):
            minima = np.minimum.reduceat(shingles * _MULTIPLIERS[row] + _OFFSETS[row], starts)
            key = mixed(key + minima)
        keys[:, band] = key
    return keys


def exact_duplicates(keys: Hashes) -> NDArray[np.int64]:
    """For each record the first one with the same key: its own index where it is the first."""
    _, first, group = np.unique(keys, return_index=True, return_inverse=True)
    return first[group]


def near_duplicates(bands: Hashes, words_of: Callable[[int], list[str]]) -> NDArray[np.int64]:
    """For each text the earlier one that it nearly repeats, -1 where there is none.

    Args:
        bands: [n, BANDS] from `band_keys`, salted by whatever must be equal (the task).
        words_of: loose words of text i, asked for candidates only.
    """
    repeats = np.full(len(bands), -1, np.int64)
    remembered: tuple[int, set[tuple[str, ...]]] = (-1, set())
    for later, earlier in _candidates(bands):
        if repeats[later] >= 0:
            continue
        leader = int(repeats[earlier]) if repeats[earlier] >= 0 else earlier
        if remembered[0] != later:
            remembered = (later, shingles_of(words_of(later)))
        if jaccard(remembered[1], shingles_of(words_of(leader))) >= SIMILARITY:
            repeats[later] = leader
    return repeats


def alike_across(
    bands: Hashes, one_side: NDArray[np.bool_], words_of: Callable[[int], list[str]]
) -> NDArray[np.int64]:
    """The texts of the other side that nearly repeat one of the one side, in order.

    Args:
        bands: [n, BANDS] from `band_keys`.
        one_side: [n] which texts lie on the one side.
        words_of: as of `near_duplicates`.
    """
    found: set[int] = set()
    for pair in _candidates(bands, one_side):
        text = pair[0] if one_side[pair[1]] else pair[1]
        if text not in found:
            one, other = (shingles_of(words_of(each)) for each in pair)
            if jaccard(one, other) >= SIMILARITY:
                found.add(text)
    return np.array(sorted(found), np.int64)


def _candidates(bands: Hashes, sides: NDArray[np.bool_] | None = None) -> Iterator[tuple[int, int]]:
    """Pairs (later, earlier) that share enough bands, in order; where `sides` are given, those on two of them."""
    count = len(bands)
    pairs = np.empty(0, np.int64)  # later * count + earlier
    for band in range(bands.shape[1]):
        order = np.argsort(bands[:, band], kind="stable")
        key = bands[order, band]
        found = [pairs]
        for back in range(1, min(_NEIGHBOURS, count - 1) + 1):
            same = np.flatnonzero(key[back:] == key[:-back])
            later, earlier = order[same + back], order[same]
            if sides is not None:
                apart = sides[later] != sides[earlier]
                later, earlier = later[apart], earlier[apart]
            agreeing = np.count_nonzero(bands[later] == bands[earlier], axis=1) >= _AGREEING_BANDS
            found.append(later[agreeing] * count + earlier[agreeing])
        pairs = np.unique(np.concatenate(found))
    for pair in pairs:
        yield divmod(int(pair), count)


def shingles_of(words: list[str]) -> set[tuple[str, ...]]:
    """Every run of three words."""
    return set(zip(words, words[1:], words[2:], strict=False))


def jaccard(one: set[tuple[str, ...]], other: set[tuple[str, ...]]) -> float:
    """Shared shingles over all shingles: 0 to 1."""
    shared = len(one & other)
    return shared / max(1, len(one) + len(other) - shared)
