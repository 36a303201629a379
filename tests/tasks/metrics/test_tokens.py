from __future__ import annotations

import pytest

from lexitrain.tasks.metrics.tokens import ngrams, tokenize


@pytest.mark.parametrize(
    ("one", "other"),
    [
        ("I do n't know , he 's late .", "I don't know, he's late."),
        ("“Well” ,  said he", '"Well", said he'),
        ("It costs 3,000.50 dollars", "It costs 3,000.50  dollars"),
        ("it’s", "it's"),
        ("a cafe\u0301 there", "a caf\u00e9 there"),
    ],
)
def test_tokenized_and_plain_text_are_the_same_tokens(one: str, other: str):
    assert tokenize(one) == tokenize(other)


def test_runs_of_tokens() -> None:
    assert ngrams(["a", "b", "c"], 2) == [("a", "b"), ("b", "c")]
    assert ngrams(["a"], 2) == []
