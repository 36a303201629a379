from __future__ import annotations

import json

import pytest

from lexitrain.errors import InputError
from lexitrain.records.record import Record
from lexitrain.tasks import registry
from lexitrain.tasks.task import SYSTEM_PROMPT

TASKS = registry()
OUTPUTS = {
    "fluency": {"fluency_score": 0.5, "reasoning": "ok"},
    "vocabulary": {"level": "B1", "key_words": ["garden"]},
    "grammar": {"corrected": "She goes.", "errors": [{"type": "agreement", "span": "go"}]},
    "dialogue": {"response": "Good!", "strategy": "praise", "pedagogical_goal": "motivate"},
    "explanation": {"explanation": "Tiếng Việt không có mạo từ."},
}


def record(task: str, output: object = None, **metadata: object) -> Record:
    return Record(task, "She go.", output or OUTPUTS[task], metadata)


@pytest.mark.parametrize("short", OUTPUTS)
def test_answer_is_compact_json_in_schema_order_whatever_the_order_of_the_record(short: str):
    task, output = TASKS[short], OUTPUTS[short]
    backwards = dict(reversed(output.items()))
    answer = task.answer(record(short, backwards))
    assert answer == task.answer(record(short))
    assert answer == json.dumps(output, ensure_ascii=False, separators=(",", ":"))
    assert task.parse(answer) == output


@pytest.mark.parametrize("short", OUTPUTS)
def test_every_key_is_needed_in_a_models_answer(short: str):
    task, output = TASKS[short], OUTPUTS[short]
    for key in output:
        assert task.parse(json.dumps({k: v for k, v in output.items() if k != key})) is None
    assert task.parse(json.dumps({**output, "more": 1})) is None


@pytest.mark.parametrize(
    ("short", "text"),
    [
        ("fluency", '{"fluency_score": 1.5, "reasoning": ""}'),
        ("fluency", '{"fluency_score": true, "reasoning": ""}'),
        ("fluency", '{"fluency_score": NaN, "reasoning": ""}'),
        ("fluency", 'Sure! {"fluency_score": 0.5, "reasoning": ""}'),
        ("vocabulary", '{"level": "B3", "key_words": []}'),
        ("vocabulary", '{"level": "B1", "key_words": "garden"}'),
        ("vocabulary", '{"level": "B1", "key_words": [1]}'),
        ("grammar", '{"corrected": "", "errors": []}'),
        ("grammar", '{"corrected": "a", "errors": [{"type": "x"}]}'),
        ("grammar", '["corrected"]'),
        ("explanation", '{"explanation": "cut off'),
        ("explanation", "[" * 100_000),
    ],
)
def test_an_answer_that_is_not_exactly_the_schema_is_no_answer(short: str, text: str):
    assert TASKS[short].parse(text) is None


@pytest.mark.parametrize(
    ("short", "output", "answer"),
    [
        ("fluency", {"fluency_score": 1}, '{"fluency_score":1.0,"reasoning":""}'),
        ("fluency", "0.75", '{"fluency_score":0.75,"reasoning":""}'),
        ("vocabulary", "A2", '{"level":"A2","key_words":[]}'),
        ("grammar", "She goes.", '{"corrected":"She goes.","errors":[]}'),
        ("grammar", '{"errors": [], "corrected": "é"}', '{"corrected":"é","errors":[]}'),
        ("explanation", "Vì vậy.", '{"explanation":"Vì vậy."}'),
        ("vocabulary", {"level": "A1", "confidence": 2}, '{"level":"A1","key_words":[]}'),
    ],
)
def test_outputs_in_other_forms_become_full_answers(short: str, output: object, answer: str):
    assert TASKS[short].check(record(short, output)) is None
    assert TASKS[short].answer(record(short, output)) == answer


@pytest.mark.parametrize(
    ("short", "output", "reason"),
    [
        ("vocabulary", {"level": "B9"}, "output.level is 'B9', not one of A1, A2"),
        ("fluency", "good", "output.fluency_score is a text, not a number"),
        ("fluency", {"fluency_score": None}, "output.fluency_score is null"),
        ("dialogue", "Hello there", "output lacks 'strategy'"),
        ("grammar", '{"corrected": "a"', "the output is no valid JSON"),
        ("grammar", "  ", "the output is empty"),
        ("grammar", {"corrected": "a", "errors": [{"type": 1, "span": ""}]}, "errors[0].type"),
    ],
)
def test_check_says_why_an_output_is_no_answer(short: str, output: object, reason: str):
    bad = record(short, output)
    assert reason in str(TASKS[short].check(bad))
    assert TASKS[short].reference(bad) is None
    with pytest.raises(InputError, match="no answer to the task"):
        TASKS[short].answer(bad)


def test_a_missing_output_and_an_empty_input_are_named():
    assert TASKS["grammar"].check(Record("grammar", "a", None, {})) == "there is no output"
    assert TASKS["grammar"].check(Record("grammar", " ", "a", {})) == "the input is empty"


def test_messages_are_system_user_answer():
    messages = TASKS["grammar"].messages(record("grammar"))
    assert [m["role"] for m in messages] == ["system", "user", "assistant"]
    assert messages[0]["content"] == SYSTEM_PROMPT
    assert messages[1]["content"] == "Task: grammar_correction\nText: She go."


def conversation(*turns: str) -> Record:
    roles = ("user", "assistant")
    messages = tuple({"role": roles[i % 2], "content": turn} for i, turn in enumerate(turns))
    return Record("grammar", "x", None, {}, messages)


def test_a_conversation_is_taken_as_it_is_with_the_system_prompt_before_it():
    task = TASKS["grammar"]
    answer = task.format(OUTPUTS["grammar"])
    whole = conversation("Hi", "Hello", "Text: She go.", answer, "left open")
    assert task.check(whole) is None
    assert [m["role"] for m in task.messages(whole)] == ["system", *["user", "assistant"] * 2]
    asked = [m["content"] for m in task.prompt_messages(whole)]
    assert asked == [SYSTEM_PROMPT, "Hi", "Hello", "Text: She go."]  # what its last answer answers
    assert task.reference(whole) == OUTPUTS["grammar"]


@pytest.mark.parametrize(
    ("turns", "reason"),
    [
        (("Hi",), "no assistant turn"),
        (("Hi", " "), "answer 1 of the conversation is empty"),
        (("Hi", "ok", "And", '{"corrected": 1}'), "answer 2 of the conversation is not valid"),
    ],
)
def test_a_broken_conversation_is_named(turns: tuple[str, ...], reason: str):
    assert reason in str(TASKS["grammar"].check(conversation(*turns)))


@pytest.mark.parametrize("score", ["1e999", "9" * 400, "-" + "9" * 400, "2"])
def test_a_number_out_of_range_is_named_whatever_its_size(score: str):
    text = '{"fluency_score": ' + score + ', "reasoning": "x"}'
    assert "not between" in str(TASKS["fluency"].invalid(text))
    record = Record("fluency", "x", text, {})
    assert "not between" in str(TASKS["fluency"].check(record))
