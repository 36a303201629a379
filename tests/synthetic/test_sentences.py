"""What a reader would notice: capitals, end marks, articles, agreement, tenses, plurals."""

from __future__ import annotations

import re
from random import Random

import pytest

from lexitrain.synthetic import grammar, inflection, wording
from lexitrain.synthetic.learner_errors import attempt
from lexitrain.synthetic.lexicon import VERBS, graded_words
from lexitrain.synthetic.sentence import ERROR_TYPES, MISSPELLED, Sentence
from lexitrain.synthetic.spelling import misspellings


@pytest.fixture(scope="module")
def sentences() -> list[Sentence]:
    rng = Random(5)
    return [grammar.make(rng, index % 6, index % 3 == 0) for index in range(4_000)]


def test_a_sentence_begins_with_a_capital_and_ends_with_its_mark(sentences: list[Sentence]) -> None:
    for sentence in sentences:
        assert re.fullmatch(r"[A-Z][A-Za-z' ]+[.?]", sentence.text), sentence.text
        assert "  " not in sentence.text
        asks = sentence.text.split()[0] in {"Do", "Does", "Did", "Where", "Why"}
        assert asks == sentence.text.endswith("?")
        assert re.search(r"\b(i|monday|friday|sunday)\b", sentence.text) is None


def test_articles_fit_the_sound_that_follows(sentences: list[Sentence]) -> None:
    for sentence in sentences:
        for right, following in re.findall(r"\b(a|an) ([a-z]+)", sentence.text.lower()):
            assert inflection.article(following) == right, sentence.text


@pytest.mark.parametrize(
    ("word", "right"), [("apple", "an"), ("bag", "a"), ("honest", "an"), ("heirloom", "an")]
)
def test_article(word: str, right: str) -> None:
    assert inflection.article(word) == right


def test_subjects_and_verbs_agree(sentences: list[Sentence]) -> None:
    thirds = {verb.third for table in VERBS.values() for row in table for verb in row}
    verbs = [verb for table in VERBS.values() for row in table for verb in row]
    bases = {verb.base for verb in verbs} - {verb.past for verb in verbs}  # he read: the past
    for sentence in sentences:
        for subject, verb in re.findall(r"\b(I|We|They|He|She) ([a-z]+)", sentence.text):
            assert verb not in (bases if subject in {"He", "She"} else thirds), sentence.text


def test_numbers_take_plurals_and_the_past_has_its_word(sentences: list[Sentence]) -> None:
    for sentence in sentences:
        text = sentence.text
        for noun in re.findall(r"\b(?:two|three|four|five|many|several) ([a-z]+)[.?]", text):
            assert noun.endswith("s") or noun in {"children", "men", "women"}, text
        if re.search(r"\b(ago|yesterday)[.?]", text):
            assert not re.search(r"\b(will|is|are|am)\b", text), text


def test_words_of_all_types_can_be_wrong_and_undone() -> None:
    rng = Random(8)
    seen: set[str] = set()
    for index in range(3_000):
        sentence = grammar.make(rng, index % 4, index % 2 == 0)
        tried = attempt(sentence, 1)
        if tried is None:
            continue
        (error,) = tried.errors
        seen.add(error.kind)
        assert tried.text != sentence.text
        assert error.right in sentence.text
        assert tried.text.count(error.span) >= 1
        undone = {
            tried.text[: hit.start()] + error.right + tried.text[hit.end() :]
            for hit in re.finditer(re.escape(error.span), tried.text)
        }
        assert sentence.text in undone
    assert seen == set(ERROR_TYPES)


def test_too_many_errors_are_refused_not_repeated() -> None:
    sentence = Sentence(Random(0), 0, words=["I", "sleep"])
    sentence.slip("agreement", 1, 2, "sleeps")
    assert attempt(sentence, 2) is None
    tried = attempt(sentence, 1)
    assert tried is not None
    assert tried.text == "I sleeps."


def test_misspellings_are_no_words_of_the_lexicon() -> None:
    words = graded_words()
    assert len(MISSPELLED) > 400
    for word, wrong in MISSPELLED.items():
        assert 1 <= len(wrong) <= 2
        assert word not in wrong
        assert not set(wrong) & set(words)
    assert misspellings("cat") == ()


@pytest.mark.parametrize(
    ("base", "third", "past", "gerund"),
    [
        ("carry", "carries", "carried", "carrying"),
        ("swim", "swims", "swam", "swimming"),
        ("dance", "dances", "danced", "dancing"),
        ("relax", "relaxes", "relaxed", "relaxing"),
        ("extol", "extols", "extolled", "extolling"),
    ],
)
def test_verb_forms(base: str, third: str, past: str, gerund: str) -> None:
    forms = (inflection.third_person(base), inflection.past(base), inflection.gerund(base))
    assert forms == (third, past, gerund)


@pytest.mark.parametrize(
    ("adverb", "adjective"),
    [("well", "good"), ("happily", "happy"), ("enthusiastically", "enthusiastic")],
)
def test_adjective_of(adverb: str, adjective: str) -> None:
    assert inflection.adjective_of(adverb) == adjective


def test_every_error_type_has_words_in_both_languages() -> None:
    for table in (wording.NAMES, wording.RULES, wording.VIETNAMESE):
        assert set(table) == set(ERROR_TYPES)
    assert wording.reasoning(["tense", "spelling"]) == "Two mistakes: verb tense, spelling."
    assert wording.fluency_score(0) == 1.0
    assert wording.fluency_score(4) == 0.0
