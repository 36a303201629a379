from __future__ import annotations

from random import Random

import numpy as np
import pytest

from lexitrain.preparation.duplicates import (
    BANDS,
    SHORTEST,
    SIMILARITY,
    band_keys,
    exact_duplicates,
    jaccard,
    near_duplicates,
    shingles_of,
)


def words(draw: Random, count: int) -> list[str]:
    return [f"w{draw.randrange(5000)}" for _ in range(count)]


def changed(draw: Random, text: list[str], places: int) -> list[str]:
    copy = list(text)
    for place in draw.sample(range(2, len(text) - 2), places):
        copy[place] = "changed"
    return copy


def test_exact_duplicates_point_to_the_first_one() -> None:
    keys = np.array([5, 9, 5, 7, 9, 5], np.uint64)
    assert exact_duplicates(keys).tolist() == [0, 1, 0, 3, 1, 0]


def test_a_text_has_the_same_buckets_in_every_batch() -> None:
    draw = Random(1)
    texts = [words(draw, draw.randrange(SHORTEST, 60)) for _ in range(20)]
    together = band_keys(texts)
    assert together.shape == (20, BANDS)
    for text, row in zip(texts, together, strict=True):
        assert np.array_equal(band_keys([text])[0], row)
    assert band_keys([]).shape == (0, BANDS)


def test_near_duplicates_are_found_and_nothing_else() -> None:
    """Against brute force: one changed word in 100 is a duplicate, one in 25 is not."""
    draw = Random(2)
    texts: list[list[str]] = []
    for _ in range(150):
        long, short = words(draw, 100), words(draw, 25)
        texts += [long, changed(draw, long, 1), short, changed(draw, short, 1)]
    draw.shuffle(texts)
    found = near_duplicates(band_keys(texts), texts.__getitem__)
    sets = [shingles_of(text) for text in texts]
    expected = {
        later
        for later in range(len(texts))
        for earlier in range(later)
        if jaccard(sets[later], sets[earlier]) >= SIMILARITY
    }
    assert len(expected) == 150
    dropped = {int(place) for place in np.flatnonzero(found >= 0)}
    assert dropped <= expected
    assert len(dropped) >= 0.97 * len(expected)


def test_a_whole_family_of_repeats_keeps_only_its_first_member() -> None:
    draw = Random(3)
    text = words(draw, 200)
    family = [text] + [changed(draw, text, 1) for _ in range(60)]
    found = near_duplicates(band_keys(family), family.__getitem__)
    assert found[0] == -1
    assert (found[1:] == 0).sum() >= 58


def test_a_crowded_bucket_is_not_compared_all_with_all() -> None:
    """Texts from one template share buckets but little else: comparisons must grow with their number only."""
    draw = Random(4)
    template = words(draw, 60)
    texts = [changed(draw, template, 12) for _ in range(400)]
    asked = 0

    def words_of(place: int) -> list[str]:
        nonlocal asked
        asked += 1
        return texts[place]

    near_duplicates(band_keys(texts), words_of)
    assert asked < 400 * 2 * 4 * BANDS


@pytest.mark.parametrize("count", [0, 1, 2])
def test_few_texts(count: int) -> None:
    texts = [words(Random(5), 30)] * count
    assert near_duplicates(band_keys(texts), texts.__getitem__).tolist() == [-1, 0][:count]
