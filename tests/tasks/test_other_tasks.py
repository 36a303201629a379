from __future__ import annotations

import numpy as np
import pytest

from lexitrain.errors import InputError
from lexitrain.records.record import Record
from lexitrain.tasks import bootstrap
from lexitrain.tasks.dialogue import Dialogue
from lexitrain.tasks.explanation import Explanation
from lexitrain.tasks.fluency import Fluency
from lexitrain.tasks.vocabulary import Vocabulary


def fluency(score: float) -> Record:
    return Record("fluency", "A sentence.", {"fluency_score": score, "reasoning": ""}, {})


def test_fluency_scores_an_invalid_answer_as_the_worst_error():
    task, records = Fluency(), [fluency(0.9), fluency(0.2), fluency(0.5)]
    right = [task.reference(record) for record in records]
    best = {"mae": 0.0, "rmse": 0.0, "pearson": 1.0, "spearman": 1.0, "bias": 0.0}
    assert task.scores(records, right) == pytest.approx({**best, "calibration_slope": 1.0})
    scores = task.scores(records, [None, None, right[2]])
    assert scores["mae"] == pytest.approx((0.9 + 0.8) / 3)
    assert scores["pearson"] is None  # one valid answer correlates with nothing


def test_fluency_correlates_over_the_valid_answers_and_counts_them():
    task, records = Fluency(), [fluency(score) for score in (0.9, 0.2, 0.5, 0.7)]
    answers = [{"fluency_score": score, "reasoning": ""} for score in (0.8, 0.3, 0.5)]
    found = task.statistics(records, [*answers, None])
    assert bootstrap(found["pearson"], 4).n == 3
    assert bootstrap(found["mae"], 4).n == 4
    expected = np.corrcoef([0.9, 0.2, 0.5], [0.8, 0.3, 0.5])[0, 1]
    assert task.scores(records, [*answers, None])["pearson"] == pytest.approx(expected)
    assert task.scores(records, [None] * 4)["pearson"] is None


def test_fluency_trivial_is_the_mean():
    predict = Fluency().trivial([fluency(0.2), fluency(0.6)])
    assert predict(fluency(1.0)) == {"fluency_score": 0.4, "reasoning": ""}


def level(name: str) -> Record:
    return Record("vocabulary", "word", {"level": name, "key_words": []}, {})


def test_vocabulary_scores():
    task = Vocabulary()
    records = [level("A1"), level("B1"), level("B1"), level("C2")]
    answers = [{"level": "A1"}, {"level": "B2"}, None, {"level": "A1"}]
    scores = task.scores(records, answers)
    assert scores["accuracy"] == 0.25
    assert scores["within_one_level"] == 0.5
    assert task.trivial(records)(records[0]) == {"level": "B1", "key_words": []}


def dialogue(text: str, strategy: str = "hint", **metadata: object) -> Record:
    output = {"response": "Try again.", "strategy": strategy, "pedagogical_goal": "think"}
    return Record("dialogue", text, output, dict(metadata))


TALK = "Tutor: What is 2 + 2?\nStudent: Five.\nOr six."


@pytest.mark.parametrize(
    ("record", "turn"),
    [
        (dialogue("Student: Hi"), "Text: Student: Hi"),
        (dialogue(TALK), "Context: Tutor: What is 2 + 2?\nText: Student: Five.\nOr six."),
        (dialogue("one\ntwo\nthree"), "Context: one\ntwo\nText: three"),
        (dialogue("Five.", context=["a", "b"]), "Context: a\nb\nText: Five."),
        (dialogue("Five.", context="a"), "Context: a\nText: Five."),
        (
            dialogue("Five.", requested_strategy="hint"),
            "Strategy: hint\nText: Five.",
        ),
    ],
)
def test_dialogue_prompt(record: Record, turn: str):
    assert Dialogue().user_turn(record) == f"Task: dialogue_response\n{turn}"


def test_a_requested_strategy_is_not_scored():
    task = Dialogue()
    right = {"response": "Try again.", "strategy": "hint", "pedagogical_goal": ""}
    wrong = {**right, "strategy": "praise"}
    records = [dialogue("a"), dialogue("b", requested_strategy="hint")]
    assert task.scores(records, [right, wrong])["strategy_accuracy"] == 1.0
    assert task.scores(records, [wrong, right])["strategy_accuracy"] == 0.0
    assert "strategy_accuracy" not in task.scores(records[1:], [right])
    assert bootstrap(task.statistics(records, [right, wrong])["strategy_accuracy"], 2).n == 1


def test_dialogue_references_count():
    task = Dialogue()
    more = [{"response": "Well done!", "strategy": "praise"}, "Nice one."]
    records = [dialogue("a", references=more)]
    answers = [{"response": "Well done!", "strategy": "praise", "pedagogical_goal": ""}]
    scores = task.scores(records, answers)
    assert (scores["strategy_accuracy"], scores["chrf"]) == (1.0, 1.0)
    answers[0]["response"] = "Nice one."
    assert task.scores(records, answers)["chrf"] == 1.0
    assert task.scores(records, [None])["chrf"] == 0.0


def test_dialogue_distinct_falls_with_repetition():
    task, records = Dialogue(), [dialogue("a")] * 4
    answer = {"response": "Try once more", "strategy": "hint", "pedagogical_goal": ""}
    scores = task.scores(records, [answer] * 4)
    assert scores["distinct_1"] == pytest.approx(3 / 12)
    assert scores["distinct_2"] == pytest.approx(2 / 8)


def test_dialogue_trivial():
    train = [dialogue("a"), dialogue("b"), dialogue("c", "praise")]
    predict = Dialogue().trivial(train)
    assert predict(train[2])["strategy"] == "hint"
    assert predict(dialogue("d", requested_strategy="recast"))["strategy"] == "recast"


def explanation(text: str, **metadata: object) -> Record:
    return Record("explanation", "Error: 'x'", {"explanation": text}, dict(metadata))


@pytest.mark.parametrize(
    ("label", "text", "mentioned"),
    [
        ("Quên Mạo Từ (Articles)", "Câu thiếu MẠO TỪ a.", 1.0),
        ("article", "Danh từ số ít cần mạo từ.", 1.0),
        ("article", "Câu này sai.", 0.0),
        ("verb_tense", "Dùng quá khứ đơn.", 1.0),
        ("Prepositions", "Từ in là giới từ sai", 1.0),
        ("false friend", "This is a false_friend!", 1.0),
        ("false friend", "falsefriend", 0.0),
    ],
)
def test_error_type_mention(label: str, text: str, mentioned: float):
    records = [explanation("x", error_type=label), explanation("y")]
    scores = Explanation().scores(records, [{"explanation": text}, None])
    assert scores["error_type_mention"] == mentioned


def test_several_error_types_score_their_share_and_none_score_nothing():
    both = explanation("x", error_types=["article", "preposition"])
    scores = Explanation().scores([both], [{"explanation": "mạo từ"}])
    assert scores["error_type_mention"] == 0.5
    assert set(Explanation().scores([explanation("x")], [None])) == {"chrf", "vietnamese"}


def test_explanation_trivial_is_the_most_frequent():
    train = [explanation("a"), explanation("b"), explanation("b")]
    assert Explanation().trivial(train)(train[0]) == {"explanation": "b"}


def test_a_trivial_predictor_needs_records():
    with pytest.raises(InputError, match="No record of the task vocabulary"):
        Vocabulary().trivial([])
