"""What a model may say: nothing of it ends an evaluation, and nothing counts for more than it plainly means."""

from __future__ import annotations

import json
import math
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from lexitrain.evaluation.task_scores import Answered
from lexitrain.records.record import Record
from lexitrain.storage import json_text
from lexitrain.tasks import Task, bootstrap, registry
from lexitrain.tasks.schema import loads_strict, problem

TASKS = registry()
OUTPUTS: dict[str, Any] = {
    "fluency": {"fluency_score": 0.5, "reasoning": "ok"},
    "vocabulary": {"level": "B1", "key_words": ["garden"]},
    "grammar": {"corrected": "She goes.", "errors": [{"type": "agreement", "span": "go"}]},
    "dialogue": {"response": "Good!", "strategy": "praise", "pedagogical_goal": "motivate"},
    "explanation": {"explanation": "Tiếng Việt không có mạo từ."},
}
ODD = (
    *("\ud800", "\udfff", "\ufeff", "\u200b", "\u202e", "\x00", "\x1b[2J", "\u2028", "\U0010ffff"),
    *("А1", "Ｂ1", "B1\u200b", "１", "´", "﷽", "é", "e\u0301", "’" * 9, "\r\n", " ", ""),
)
texts = st.one_of(
    st.sampled_from(ODD),
    st.text(st.characters(exclude_categories=[]), max_size=20),
    st.lists(st.sampled_from(ODD), max_size=30).map("".join),
)
numbers = st.one_of(
    st.floats(), st.integers(), st.integers(-(10**400), 10**400), st.booleans(), st.none()
)
values = st.recursive(
    st.one_of(texts, numbers),
    lambda inner: st.one_of(st.lists(inner, max_size=4), st.dictionaries(texts, inner, max_size=4)),
    max_leaves=8,
)
RAW = (
    *(
        "",
        " ",
        "null",
        "true",
        "NaN",
        "Infinity",
        "-Infinity",
        "1e999",
        "-1e999",
        "[]",
        "{}",
        "{",
        '"',
    ),
    *(
        "[" * 100_000,
        '{"a":' * 50_000,
        "9" * 5_000,
        "-" + "9" * 5_000,
        "Sure! {}",
        "```json\n{}\n```",
    ),
)


@st.composite
def said(draw: st.DrawFn, short: str) -> str:
    """What a model may say to a task: an answer with parts of it replaced, and then with its text damaged."""
    answer: Any = json.loads(json.dumps(OUTPUTS[short]))
    for key in draw(st.sets(st.sampled_from(list(answer)))):
        answer[key] = draw(values)
    text = draw(st.sampled_from([json.dumps(answer), json.dumps(answer, ensure_ascii=False)]))
    place = draw(st.integers(0, len(text)))
    damage = draw(
        st.sampled_from(["none", "raw", "cut", "put in", "twice", "long", "mark", "digits"])
    )
    return {
        "none": text,
        "raw": draw(st.sampled_from(RAW)),
        "cut": text[:place],
        "put in": text[:place] + draw(texts) + text[place:],
        "twice": text[:-1] + "," + text[1:],
        "long": json.dumps({**answer, next(iter(answer)): "word " * 2_000}),
        "mark": "\ufeff" + text,
        "digits": text.replace("0.5", "1" * 5_000),
    }[damage]


def joined(text: str) -> str:
    """With two halves that stand beside each other as the character that they are."""
    return text.encode("utf-16", "surrogatepass").decode("utf-16", "surrogatepass")


def evaluated(task: Task, text: str) -> None:
    record = Record(task.short, "She go.", OUTPUTS[task.short], {"error_type": "agreement"})
    answer, reason = task.parse(text), task.invalid(text)
    assert (answer is None) == (reason is not None)
    if answer is not None:
        assert problem(answer, task.schema) is None
        assert json.loads(json_text(answer).encode()) == answer
    for answers in ([answer], [answer, OUTPUTS[task.short]]):
        for name, statistic in task.statistics([record] * len(answers), answers).items():
            score = bootstrap(statistic, len(answers))
            assert score.value is None or math.isfinite(score.value), name
    for value in task.scores([record], [answer]).values():
        assert value is None or math.isfinite(value)
    line = json_text(Answered(0, record, OUTPUTS[task.short], text, answer, reason).to_json())
    assert "\n" not in line
    assert joined(json.loads(line.encode())["text"]) == joined(text)


@pytest.mark.parametrize("short", list(TASKS))
@settings(max_examples=150, deadline=None, suppress_health_check=list(HealthCheck))
@given(data=st.data())
def test_nothing_that_a_model_says_ends_an_evaluation(short: str, data: st.DataObject) -> None:
    evaluated(TASKS[short], data.draw(said(short)))


@pytest.mark.parametrize("short", list(TASKS))
@pytest.mark.parametrize("text", RAW, ids=range(len(RAW)))
def test_what_is_no_answer_is_none(short: str, text: str) -> None:
    assert TASKS[short].parse(text) is None
    evaluated(TASKS[short], text)


@pytest.mark.parametrize(
    ("short", "text", "reason"),
    [
        ("fluency", '{"fluency_score":' + "1" * 5_000 + ',"reasoning":""}', "not between"),
        ("fluency", '{"fluency_score":-' + "1" * 5_000 + ',"reasoning":""}', "not between"),
        ("fluency", '{"fluency_score":0.9,"fluency_score":0.1,"reasoning":""}', "'fluency_score' stands twice"),
        ("fluency", '{"fluency_score":"0.5","reasoning":""}', "a text, not a number"),
        ("fluency", '{"fluency_score":０.５,"reasoning":""}', "no JSON"),
        ("vocabulary", '{"level":"А1","key_words":[]}', "not one of"),  # a Cyrillic letter
        ("vocabulary", '{"level":"A1\u200b","key_words":[]}', "not one of"),
        ("vocabulary", '{"level":"A1 ","key_words":[]}', "not one of"),
        ("vocabulary", '\ufeff{"level":"A1","key_words":[]}', "no JSON"),
        ("vocabulary", '{"level":"A1","key_words":["\\ud800"]}', "half a character"),
        ("explanation", '{"explanation":"\x00"}', "no JSON"),
        ("explanation", '{"explanation":" \\t\\u00a0\\u2003 "}', "is empty"),
        ("explanation", '{"explanation":"a"}{"explanation":"b"}', "no JSON"),
        ("grammar", '{"corrected":"a","errors":[{"type":"x","type":"y","span":""}]}', "'type' stands twice"),
    ],
)  # fmt: skip
def test_a_trick_is_invalid_and_called_so(short: str, text: str, reason: str) -> None:
    assert TASKS[short].parse(text) is None
    assert reason in str(TASKS[short].invalid(text))
    evaluated(TASKS[short], text)


@pytest.mark.parametrize(
    ("text", "meant"),
    [
        ('{"explanation":"\\ud83d\\ude00"}', "😀"),
        ('{"explanation":"\\u0041\\u200b"}', "A\u200b"),
        (' \n{ "explanation" : "a" }\n', "a"),
        ('{"explanation":"\\u001b[2J"}', "\x1b[2J"),
    ],
)
def test_what_is_an_answer_counts_by_its_plain_meaning(text: str, meant: str) -> None:
    assert TASKS["explanation"].parse(text) == {"explanation": meant}


def test_a_number_of_many_digits_is_read_as_infinite_and_no_other() -> None:
    assert loads_strict("[" + "9" * 5_000 + ", -" + "9" * 5_000 + ", 12345]") == [
        math.inf,
        -math.inf,
        12345,
    ]
