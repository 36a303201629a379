from __future__ import annotations

import json
from dataclasses import replace

import pytest

from lexitrain.errors import DataError, RecipeError
from lexitrain.evaluation import Evaluation
from lexitrain.evaluation.scoring import evaluate_source
from lexitrain.evaluation.sources.answer_source import LoadedAnswerSource
from lexitrain.evaluation.task_scores import Answered, TaskEvaluation
from lexitrain.records.record import Record
from lexitrain.samples import Renderer
from lexitrain.tasks import Score, registry
from tests.evaluation.scored import evaluate_records
from tests.taught import RECORDS, taught_model
from tests.tiny import tiny_model, tiny_tokenizer

ROWS = tuple(enumerate(RECORDS))
TASKS = registry()


def evaluated(model: object, rows: tuple[tuple[int, Record], ...] = ROWS) -> Evaluation:
    return evaluate_records(
        model, tiny_tokenizer(), rows, TASKS, train_records=RECORDS, max_length=256, batch_size=2
    )


def test_a_model_that_knows_the_answers_scores_full_marks():
    result = evaluated(taught_model())
    assert list(result.tasks) == ["fluency", "vocabulary", "grammar", "dialogue", "explanation"]
    assert (result.n, result.validity) == (7, 1.0)
    scores = {name: task.scores for name, task in result.tasks.items()}
    assert scores["fluency"]["mae"].value == 0.0
    assert scores["vocabulary"]["accuracy"].value == 1.0
    assert scores["grammar"]["f0.5"].value == 1.0
    assert scores["dialogue"]["strategy_accuracy"].value == 1.0
    assert scores["explanation"]["error_type_mention"].value == 1.0
    fluency = result.tasks["fluency"]
    assert fluency.trivial["mae"].value == pytest.approx(0.25)
    assert fluency.loss is not None
    assert fluency.loss.value < 0.1  # type: ignore[operator]
    assert result.tasks["grammar"].trivial["exact_match"].value == 0.0
    assert result.tasks["dialogue"].met("chrf") is None
    first = result.tasks["vocabulary"].answers[0]
    assert (first.row, first.answer, first.invalid) == (
        2,
        {"level": "A1", "key_words": ["cat"]},
        None,
    )


def test_two_perfect_answers_show_nothing_and_forty_do():
    two = evaluated(taught_model()).tasks["fluency"]
    assert (two.target_verdict("mae"), two.met("mae")) == ("not shown", False)
    assert (two.beats_trivial("mae"), two.learnt) == (False, "not shown")
    assert "would take" in two.verdict
    rows = tuple((row, RECORDS[row % 2]) for row in range(40))
    forty = evaluated(taught_model(), rows).tasks["fluency"]
    assert (forty.beats_trivial("mae"), forty.learnt) == (True, "learnt")
    assert forty.verdict.startswith("fluency: learnt. mae 0.000, trivial predictor 0.250;")
    one_learner = tuple((row, replace(record, metadata={"learner_id": 1})) for row, record in rows)
    assert evaluated(taught_model(), one_learner).tasks["fluency"].learnt == "unknown"


def test_a_target_is_met_missed_or_not_shown_by_the_whole_interval():
    task = evaluated(taught_model()).tasks["vocabulary"]

    def verdict(low: float, high: float) -> object:
        score = Score((low + high) / 2, low, high, 50, 50)
        return replace(task, scores={"accuracy": score}).target_verdict("accuracy")

    assert verdict(0.91, 0.99) == "met"
    assert verdict(0.85, 0.95) == "not shown"
    assert verdict(0.70, 0.80) == "missed"
    assert replace(task, targets={}).target_verdict("accuracy") is None


def test_tasks_that_a_model_was_not_trained_for_are_left_out_of_its_totals():
    renderer = Renderer(tiny_tokenizer(), TASKS, 256)
    source = LoadedAnswerSource(tiny_model(), renderer, batch_size=8)
    both = ROWS[:3]
    found = evaluate_source(source, both, TASKS, train_records=(), trained=("grammar",))
    assert found.validity is None  # nothing of what was scored is its task
    assert found.tasks["fluency"].trained is False
    found = evaluate_source(source, both, TASKS, train_records=(), trained=("vocabulary",))
    assert found.validity == 0.0
    assert found.tasks["vocabulary"].trained is True


def test_a_model_that_babbles_has_no_valid_answer_and_the_worst_scores():
    result = evaluated(tiny_model())
    assert result.validity == 0.0
    assert result.tasks["fluency"].scores["mae"].value == 0.75  # 0.5 and 1.0 away
    assert result.tasks["vocabulary"].scores["within_one_level"].value == 0.0
    answer = result.tasks["grammar"].answers[0]
    assert answer.answer is None
    assert answer.truncated
    assert answer.invalid == "ended at the limit of 256 tokens"


def test_the_document_is_json_and_complete():
    document = json.loads(json.dumps(evaluated(taught_model()).to_json(), allow_nan=False))
    mae = document["tasks"]["fluency"]["scores"]["mae"]
    assert set(mae) == {
        *("value", "low", "high", "n", "groups", "trivial", "beats_trivial", "target", "met"),
        *("lower_is_better", "target_verdict"),
    }
    assert (mae["target"], mae["n"]) == ("<0.12", 2)


def test_what_cannot_be_scored_is_counted():
    messages = ({"role": "user", "content": "Hi"}, {"role": "assistant", "content": "Hello"})
    chat = Record("dialogue", "Hi", None, {}, messages)
    broken = replace(RECORDS[2], output={"level": "Z9"})
    unanswered = Record("dialogue", "Hi", None, {}, messages[:1])
    result = evaluated(taught_model(), (*ROWS, (7, chat), (8, broken), (9, unanswered)))
    assert result.n == 8
    assert sum(result.unscored.values()) == 2
    with pytest.raises(DataError, match="No record can be scored"):
        evaluated(taught_model(), ((0, broken), (1, unanswered)))


def test_the_reasons_of_invalid_answers_are_grouped_the_most_frequent_first():
    texts = [
        "",
        "x",
        '{"level": "Z9", "key_words": []}',
        '{"a": 1',
        '{"level": "D", "key_words": []}',
    ]
    task, record = TASKS["vocabulary"], RECORDS[2]
    answers = [
        Answered(row, record, {}, text, None, task.invalid(text)) for row, text in enumerate(texts)
    ]
    validity, none = Score(0.0, 0.0, 0.0, 5, 5), frozenset[str]()
    evaluation = TaskEvaluation(
        *("vocabulary", validity, validity, None, {}, {}, {}, "accuracy", {}),
        *(none, none, answers, 0.0),
    )
    told = [(each.count, each.reason, each.example.row) for each in evaluation.invalid]
    assert told[:2] == [
        (2, "no JSON (Expecting value)", 0),
        (2, "answer.level is not one of A1, A2, B1, B2, C1, C2", 2),
    ]
    assert told[2][0] == 1
    assert evaluation.to_json()["invalid"][0]["example"] == {"row": 0, "text": ""}


def test_adapters_are_changed_before_each_task():
    seen: list[str] = []
    told: list[tuple[str, int, int]] = []
    evaluate_records(
        taught_model(),
        tiny_tokenizer(),
        ROWS[:3],
        TASKS,
        train_records=(),
        max_length=256,
        select=seen.append,
        progress=lambda *state: told.append(state),
    )
    assert seen == ["fluency", "vocabulary"]
    assert told[-2:] == [("vocabulary", 1, 1), ("vocabulary loss", 1, 1)]


def test_without_training_records_only_the_predictors_that_need_none_are_there():
    result = evaluate_records(
        taught_model(), tiny_tokenizer(), ROWS[:5], TASKS, train_records=(), max_length=256
    )
    assert not result.tasks["vocabulary"].trivial
    assert result.tasks["grammar"].trivial["exact_match"].value == 0.0


def test_a_target_of_a_score_that_there_is_not_is_refused_before_anything_is_asked():
    """Passed over it would look like a target that nobody has missed."""
    renderer = Renderer(tiny_tokenizer(), TASKS, 256)
    source = LoadedAnswerSource(tiny_model(), renderer, batch_size=8)
    with pytest.raises(RecipeError, match=r"'acuracy'.*\n?.*Did you mean accuracy"):
        evaluate_source(
            source,
            ROWS,
            TASKS,
            train_records=(),
            targets={"vocabulary": {"acuracy": (">", 0.8)}},
        )
    # Whether there is one may hang on the records.
    some = {"explanation": {"error_type_mention": (">", 0.5)}}
    plain = ((0, replace(RECORDS[6], metadata={})),)
    found = evaluate_source(source, plain, TASKS, train_records=(), targets=some)  # type: ignore[arg-type]
    assert "error_type_mention" not in found.tasks["explanation"].scores
