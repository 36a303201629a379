from __future__ import annotations

import pytest

from lexitrain.records.prepared import read_split
from lexitrain.records.record import Record
from lexitrain.tasks import bootstrap
from lexitrain.tasks.grammar import Grammar
from tests.corpora import real_data

TASK = Grammar()


def grammar(source: str, *references: str) -> Record:
    metadata = {"references": list(references)} if len(references) > 1 else {}
    return Record("grammar", source, {"corrected": references[0], "errors": []}, metadata)


def said(text: str) -> dict[str, object]:
    return {"corrected": text, "errors": []}


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


def test_a_correct_sentence_left_alone_is_perfect():
    record = grammar("He goes", "He goes")
    scores = TASK.scores([record], [said("He goes")])
    assert scores["exact_match"] == 1
    # There was nothing to correct and nothing was corrected: no share of edits is right or missed.
    assert (scores["precision"], scores["recall"], scores["f0.5"]) == (None, None, None)
    scores = TASK.scores([record], [said("He went")])
    assert (scores["precision"], scores["recall"], scores["f0.5"]) == (0, None, 0)


def test_a_score_counts_the_records_that_it_is_about():
    records = [grammar("He goes", "He goes"), grammar("He go", "He goes"), grammar("I am", "I am")]
    answers = [said("He goes"), said("He goes"), said("I was")]
    found = TASK.statistics(records, answers)
    counted = {name: bootstrap(statistic, 3).n for name, statistic in found.items()}
    assert counted == {
        **{"precision": 2, "recall": 1, "f0.5": 2, "gleu": 3, "exact_match": 3},
        "over_correction": 2,
    }
    assert TASK.scores(records, answers)["over_correction"] == 0.5


def test_the_source_of_a_conversation_is_the_text_of_its_question():
    messages = (
        {"role": "user", "content": "Task: grammar_correction\nText: He go"},
        {"role": "assistant", "content": '{"corrected":"He goes","errors":[]}'},
    )
    record = Record("grammar", "x", None, {}, messages)
    assert TASK.scores([record], [said("He goes")])["f0.5"] == 1.0


@pytest.mark.parametrize(
    ("question", "source"),
    [
        ("Task: grammar_correction\nText: The sign say Text: here.", "The sign say Text: here."),
        ("Mend it.\nText: He go.\nMended: He goes.\nText: I is.", "I is."),
        ("He go.", "He go."),
    ],
)
def test_the_learners_own_word_text_begins_no_sentence(question: str, source: str) -> None:
    messages = ({"role": "user", "content": question}, {"role": "assistant", "content": "x"})
    assert TASK.source(Record("grammar", "x", None, {}, messages)) == source


@pytest.mark.real_data
@pytest.mark.parametrize(("split", "published"), [("dev", 0.3821), ("test", 0.4054)])
def test_gleu_of_unchanged_jfleg_is_the_published_one(split: str, published: float):
    """Published by the corpus's authors (github.com/keisks/jfleg), who draw references at random."""
    corpus = read_split(real_data() / "grammar_jfleg.jsonl")
    records = [record for record in corpus if record.metadata["split"] == split]
    unchanged = [TASK.trivial(records)(record) for record in records]
    assert TASK.scores(records, unchanged)["gleu"] == pytest.approx(published, abs=0.003)


def test_errors_are_derived_from_the_edits() -> None:
    record = Record("grammar", "He go home in bus", "He goes home by bus every day", {})
    assert TASK.lacking(record) == ("errors",)
    completed = TASK.completed(record)
    assert completed.output == {
        "corrected": "He goes home by bus every day",
        "errors": [
            {"type": "replacement", "span": "go"},
            {"type": "replacement", "span": "in"},
            {"type": "missing", "span": "bus"},
        ],
    }
    assert TASK.check(completed) is None
    unneeded = TASK.completed(Record("grammar", "I am at home", {"corrected": "I am home"}, {}))
    assert isinstance(unneeded.output, dict)
    assert unneeded.output["errors"] == [{"type": "unnecessary", "span": "at"}]
    first = TASK.completed(Record("grammar", "went home", "He went home", {}))
    assert isinstance(first.output, dict)
    assert first.output["errors"] == [{"type": "missing", "span": "went"}]


def test_only_what_lacks_errors_is_completed() -> None:
    for record in (
        Record("grammar", "He goes", "He goes", {}),  # unchanged: it has none
        grammar("He go", "He goes"),
        Record("grammar", "He go", None, {}, ({"role": "user", "content": "He go"},)),
    ):
        assert TASK.lacking(record) == ()
        assert TASK.completed(record) is record
