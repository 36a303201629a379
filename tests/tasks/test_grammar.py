from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from lexitrain.records.record import Record, read_split
from lexitrain.tasks.grammar import Grammar
from lexitrain.tasks.metrics.edits import count_edits, edits, gleu, gleu_counts, tokenize
from tests.corpora import real_data

TASK = Grammar()
words = st.lists(st.sampled_from("abcd"), max_size=8)


def grammar(source: str, *references: str) -> Record:
    metadata = {"references": list(references)} if len(references) > 1 else {}
    return Record("grammar", source, {"corrected": references[0], "errors": []}, metadata)


def said(text: str) -> dict[str, object]:
    return {"corrected": text, "errors": []}


@given(words, words)
def test_edits_turn_the_source_into_the_target(source: list[str], target: list[str]):
    result, at = [], 0
    for start, end, new in edits(source, target):
        assert start >= at
        assert tuple(source[start:end]) != new
        result += [*source[at:start], *new]
        at = end
    assert [*result, *source[at:]] == target


@given(words)
def test_nothing_changed_is_no_edit(source: list[str]):
    assert edits(source, source) == []


def test_neighbouring_edits_are_one_and_distant_ones_two():
    source = ["she", "go", "in", "school", "by", "bus"]
    assert edits(source, ["she", "goes", "to", "school", "by", "bus"]) == [(1, 3, ("goes", "to"))]
    assert edits(source, ["she", "goes", "in", "school", "by", "a", "bus"]) == [
        (1, 2, ("goes",)),
        (5, 5, ("a",)),
    ]


@pytest.mark.parametrize(
    ("one", "other"),
    [
        ("I do n't know , he 's late .", "I don't know, he's late."),
        ("“Well” ,  said he", '"Well", said he'),
        ("It costs 3,000.50 dollars", "It costs 3,000.50  dollars"),
        ("it’s", "it's"),
    ],
)
def test_tokenized_and_plain_text_are_the_same_tokens(one: str, other: str):
    assert tokenize(one) == tokenize(other)


def test_scores_by_hand():
    records = [grammar("He go home .", "He goes home ."), grammar("I am at home", "I am home")]
    answers = [said("He goes home."), said("I was at home")]
    scores = TASK.scores(records, answers)
    assert scores["precision"] == pytest.approx(1 / 2)  # goes is right, was is wrong
    assert scores["recall"] == pytest.approx(1 / 2)  # "at" is missed
    assert scores["f0.5"] == pytest.approx(1 / 2)
    assert scores["exact_match"] == 0.5


def test_f_half_weighs_precision_over_recall():
    records = [grammar("a b c d e", "x b y d z")]
    one_of_three = TASK.scores(records, [said("x b c d e")])
    assert one_of_three["precision"] == 1.0
    assert one_of_three["recall"] == pytest.approx(1 / 3)
    assert one_of_three["f0.5"] == pytest.approx(1.25 * (1 / 3) / (0.25 + 1 / 3))


def test_the_best_of_the_references_counts():
    record = grammar("He go home", "He goes back home", "He went home")
    scores = TASK.scores([record], [said("He went home")])
    assert (scores["f0.5"], scores["exact_match"]) == (1.0, 1.0)


def test_unchanged_sentence_and_invalid_answer():
    records = [grammar("He go home", "He goes home")]
    unchanged = TASK.trivial(records)(records[0])
    assert unchanged == said("He go home")
    for answer in (unchanged, None):
        scores = TASK.scores(records, [answer])
        assert (scores["precision"], scores["f0.5"], scores["exact_match"]) == (0, 0, 0)
    assert count_edits(["a", "b"], None, [["a", "c"]]) == (0, 1, 1)
    assert count_edits(["a", "b"], None, [["a", "b"]]) == (0, 1, 0)


def test_a_correct_sentence_left_alone_is_perfect():
    scores = TASK.scores([grammar("He goes", "He goes")], [said("He goes")])
    assert (scores["precision"], scores["recall"], scores["f0.5"]) == (1, 1, 1)


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


def test_the_source_of_a_conversation_is_the_text_of_its_question():
    messages = (
        {"role": "user", "content": "Task: grammar_correction\nText: He go"},
        {"role": "assistant", "content": '{"corrected":"He goes","errors":[]}'},
    )
    record = Record("grammar", "x", None, {}, messages)
    assert TASK.scores([record], [said("He goes")])["f0.5"] == 1.0


@pytest.mark.real_data
@pytest.mark.parametrize(("split", "published"), [("dev", 0.3821), ("test", 0.4054)])
def test_gleu_of_unchanged_jfleg_is_the_published_one(split: str, published: float):
    """Published by the corpus's authors (github.com/keisks/jfleg), who draw references at random."""
    corpus = read_split(real_data() / "grammar_jfleg.jsonl")
    records = [record for record in corpus if record.metadata["split"] == split]
    unchanged = [TASK.trivial(records)(record) for record in records]
    assert TASK.scores(records, unchanged)["gleu"] == pytest.approx(published, abs=0.003)
