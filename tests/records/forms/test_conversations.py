from __future__ import annotations

import json
from typing import Any

import pytest

from lexitrain.records.normalization import tidy_record
from lexitrain.records.prepared import prepared_record
from lexitrain.records.record import BadRow, Record, is_learnt
from lexitrain.records.rows import record_from_row

U, A = {"role": "user", "content": "q"}, {"role": "assistant", "content": "a"}
TURNS = (U, A)


def read(row: dict[str, Any]) -> Record:
    return record_from_row(row, None, "dialogue")


def said(row: dict[str, Any]) -> list[tuple[str, str]]:
    return [(turn["role"][0], turn["content"]) for turn in read(row).messages or ()]


@pytest.mark.parametrize("key", ["weight", "train", "training", "loss_weight", "loss"])
@pytest.mark.parametrize(("no", "yes"), [(0, 1), (False, True), (0.0, 1.0)])
def test_an_answer_of_weight_0_is_context_in_the_prepared_line_too(
    key: str, no: object, yes: object
) -> None:
    turns = [{**U, key: no}, {**A, key: no}, U, {**A, key: yes}]
    record, line = tidy_record({"messages": turns}, None, "dialogue")
    assert record.messages is not None
    assert [is_learnt(turn) for turn in record.messages] == [False, False, False, True]
    assert line.count(b"weight") == 1
    assert prepared_record(json.loads(line)) == record
    assert record_from_row(json.loads(line), None, None) == record


def test_without_weights_a_prepared_line_holds_no_new_key() -> None:
    line = tidy_record({"messages": list(TURNS)}, None, "dialogue")[1]
    assert line == (
        b'{"task": "dialogue", "input": "q", "messages": [{"role": "user", "content": "q"}, '
        b'{"role": "assistant", "content": "a"}], "metadata": {}}\n'
    )


@pytest.mark.parametrize(
    ("turns", "reason"),
    [
        ([U, {**A, "weight": 0.5}], "`weight` 0.5"),
        ([U, {**A, "weight": "0"}], "`weight` text"),
        ([U, {**A, "weight": -1}], "`weight` -1"),
        ([U, {**A, "weight": 0}], "weight 0: there is nothing to learn"),
        ([{**U, "weight": 1}, A], "only answers are learnt"),
        ([U, {**A, "weight": 0, "train": True}], "weights that differ"),
        ([U, {**A, "reasoning_content": "hm"}], "`reasoning_content`"),
        ([U, {**A, "thinking": "hm"}], "`thinking`"),
        ([U, {**A, "function_call": {"name": "f"}}], "`function_call`"),
        ([U, {**A, "name": "Ann"}], "`name`"),
        ([U, {"role": "tool", "content": "x", "tool_call_id": "1"}, A], "role is 'tool'"),
        ([U, {"role": "function", "content": "x"}, A], "role is 'function'"),
        ([U, {"role": ["user"], "content": "x"}, A], "role is a list"),
        ([U, {**A, "content": {"a": 1}}], "must be text, this is an object"),
        ([U, {**A, "content": 5}], "must be text, this is a number"),
        ([U, {**A, "content": [{"type": "text", "text": None}]}], "null where its text belongs"),
        ([U, {**A, "content": [{"type": "image_url", "image_url": {"url": "x"}}]}], "no text"),
        ([U, {**A, "content": [{"type": "text", "text": "x", "image": "y"}]}], "`image` beside"),
        ([U, {**A, "content": [5]}], "is a number, not text"),
        ([U, {**A, "value": "other"}], "both `content` and `value`"),
        ([A], "no user turn"),
    ],
)
def test_a_turn_that_cannot_be_shown_is_refused(turns: list[Any], reason: str) -> None:
    with pytest.raises(BadRow, match=reason):
        read({"messages": turns})


def test_fields_that_say_nothing_are_passed_over() -> None:
    full = [{**U, "name": None}, {**A, "tool_calls": [], "weight": None, "function_call": ""}]
    assert read({"messages": full}).messages == TURNS
    parts = [{"type": "text", "text": "q", "image_url": None}]
    assert read({"messages": [{**U, "content": parts}, A]}).messages == TURNS
    assert read({"messages": [{**U, "content": ["q"]}, A], "tools": "[]"}).messages == TURNS


@pytest.mark.parametrize(
    "row",
    [
        {"instruction": "q", "output": "a"},
        {"prompt": "q", "completion": "a"},
        {"messages": [U, A]},
        {"conversations": [{"from": "human", "value": "q"}, {"from": "gpt", "value": "a"}]},
        {"conversations": [U, A]},
        {"prompt": U, "completion": A},
        {"input": [U], "output": "a"},
    ],
)
def test_system_and_history_stand_before_the_turns_of_every_form(row: dict[str, Any]) -> None:
    earlier = [("u", "x"), ("a", "y")]
    for key in ("history", "conversation history", "conversation_history", "chat_history"):
        for value in (
            [["x", "y"]],
            '[["x", "y"]]',
            [{"role": "user", "content": "x"}, {"role": "assistant", "content": "y"}],
        ):
            turns = said({**row, "system": "S", key: value})
            assert turns == [("s", "S"), *earlier, ("u", "q"), ("a", "a")]
    assert said({**row, "system": "", "history": [], "tools": None}) == [("u", "q"), ("a", "a")]
    assert read({**row, "system": "S"}).metadata == {}
    for key, value in (("tools", [{}]), ("images", ["a.png"]), ("history", "x"), ("system", [1])):
        with pytest.raises(BadRow, match=key):
            read({**row, key: value})


def test_two_system_texts() -> None:
    turns = [{"role": "system", "content": "S"}, U, A]
    assert said({"messages": turns, "system": "S"}) == [("s", "S"), ("u", "q"), ("a", "a")]
    with pytest.raises(BadRow, match="says something else"):
        read({"messages": turns, "system": "T"})


@pytest.mark.parametrize(
    "row",
    [
        {"prompt": "q", "completion": "a", "label": False},
        {"prompt": "q", "completion": "a", "label": 0},
        {"prompt": "q", "completion": "a", "label": "False"},
        {"instruction": "q", "output": "a", "kto_tag": False},
        {"messages": [U, A], "label": False},
        {"prompt": "q", "chosen": "a", "rejected": "b"},
        {"chosen": [U, A], "rejected": [U, A]},
        {"instruction": "q", "output": "a", "rejected": "b"},
        {"conversations": [U], "chosen": A, "rejected": A},
        {"input": "q", "output": "a", "rejected_response": "b"},
        {"input": {"messages": [U]}, "preferred_output": [A], "non_preferred_output": [A]},
        {"prompt": "q", "completion": "a", "response_rejected": "b", "score_rejected": 0.1},
    ],
)
def test_preference_rows_are_not_learnt(row: dict[str, Any]) -> None:
    with pytest.raises(BadRow, match=r"unwanted answer|preference pair"):
        read(row)


def test_a_wanted_answer_and_a_label_that_is_none_are_plain_data() -> None:
    assert read({"prompt": "q", "completion": "a", "label": True}).metadata == {"label": True}
    assert read({"input": "q", "output": "a", "label": False}).metadata == {"label": False}
    assert read({"prompt": "q", "completion": "a", "label": "noun"}).messages == TURNS


@pytest.mark.parametrize("value", [["x"], 5, True, {"a": 1}, [{"a": 1}]])
@pytest.mark.parametrize(
    ("row", "keys"),
    [
        ({"instruction": "q", "input": "r", "output": "a"}, ("instruction", "input")),
        ({"prompt": "q", "completion": "a"}, ("prompt",)),
        ({"input": "q", "output": "a"}, ("input",)),
    ],
)
def test_a_value_where_a_text_belongs_never_becomes_its_repr(
    row: dict[str, Any], keys: tuple[str, ...], value: object
) -> None:
    for key in keys:
        with pytest.raises(BadRow, match=f"{key} must be text"):
            read({**row, key: value})


def test_turns_where_a_text_belongs_are_read_and_other_brackets_are_text() -> None:
    both = [("u", "q"), ("a", "a")]
    assert said({"instruction": [U], "output": [A]}) == both
    assert said({"prompt": '[{"role": "user", "content": "q"}]', "completion": "a"}) == both
    assert said({"prompt": "[1] is?", "completion": "[x]"}) == [("u", "[1] is?"), ("a", "[x]")]
    assert read({"input": "{x}", "output": '["a"]'}).output == '["a"]'


def test_columns_of_another_form_stay_in_the_metadata() -> None:
    row = {"messages": [U, A], "prompt": "p", "output": "", "conversations": [U]}
    assert read(row).metadata == {"prompt": "p", "conversations": [U]}
    assert read({"instruction": "q", "output": "a", "completion": "c"}).metadata == {
        "completion": "c"
    }
    with pytest.raises(BadRow, match="`id` stands in the row and in its metadata"):
        read({"id": 1, "input": "q", "output": "a", "metadata": {"id": 2}})
    with pytest.raises(BadRow, match=r"`weight` 0\.5"):
        read({"input": "q", "output": "a", "weight": 0.5})
