from __future__ import annotations

import json
from typing import Any

import pytest

from lexitrain.records.record import Record
from lexitrain.records.rows import BadRow, record_from_row

ALIASES = dict.fromkeys(("grammar", "grammar_correction"), "grammar") | {"fluency": "fluency"}
TURNS = ({"role": "user", "content": "Hi"}, {"role": "assistant", "content": "Hello"})


def read(row: Any, task: str | None = None) -> Record:
    return record_from_row(row, ALIASES, task)


def test_task_input_output_keeps_unknown_columns_as_metadata() -> None:
    row = {
        "task": "grammar_correction",
        "input": "a",
        "output": {"corrected": "b"},
        "id": 7,
        "metadata": {"k": 1},
    }
    assert read(row) == Record("grammar", "a", {"corrected": "b"}, {"id": 7, "k": 1})


def test_cells_of_a_table_hold_objects_as_text() -> None:
    row = {
        "task": "grammar",
        "input": "a",
        "output": '{"corrected": "b"}',
        "metadata": '{"k": 1}',
        "messages": "",
    }
    assert read(row) == Record("grammar", "a", {"corrected": "b"}, {"k": 1})
    assert read(row | {"output": "{not json"}).output == "{not json"


@pytest.mark.parametrize(
    ("row", "turns"),
    [
        ({"messages": list(TURNS)}, TURNS),
        (
            {
                "conversations": [
                    {"from": "system", "value": "S"},
                    {"from": "human", "value": "Hi"},
                    {"from": "gpt", "value": "Hello"},
                ]
            },
            ({"role": "system", "content": "S"}, *TURNS),
        ),
        (
            {"instruction": "Correct", "input": "He go", "output": "He goes"},
            (
                {"role": "user", "content": "Correct\n\nHe go"},
                {"role": "assistant", "content": "He goes"},
            ),
        ),
        (
            {"instruction": "Say hi", "input": "", "output": {"a": "ơ"}},
            ({"role": "user", "content": "Say hi"}, {"role": "assistant", "content": '{"a": "ơ"}'}),
        ),
        ({"prompt": "Hi", "completion": "Hello"}, TURNS),
        ({"prompt": [TURNS[0]], "completion": [TURNS[1]]}, TURNS),
        (
            {"messages": [{"role": "user", "content": [{"type": "text", "text": "Hi"}]}, TURNS[1]]},
            TURNS,
        ),
    ],
)
def test_every_form_of_a_conversation(
    row: dict[str, Any], turns: tuple[dict[str, str], ...]
) -> None:
    record = read(row, task="grammar")
    assert record.messages == turns
    assert record.output is None
    assert record.input == "\n".join(turn["content"] for turn in turns if turn["role"] == "user")
    # The same row in a table, where lists are text.
    cells = {
        key: value if isinstance(value, str) else json.dumps(value) for key, value in row.items()
    }
    if "instruction" not in row:
        assert read(cells, task="grammar").messages == turns


@pytest.mark.parametrize(
    ("row", "reason"),
    [
        ([1], "a record is an object, this is a list"),
        (3, "this is a number"),
        ({"input": "a", "output": "b"}, "no task"),
        ({"task": "gramar", "input": "a", "output": "b"}, "did you mean 'grammar'"),
        ({"task": "zzzz", "input": "a", "output": "b"}, "known: fluency, grammar"),
        ({"task": 3, "input": "a", "output": "b"}, "task must be text"),
        ({"task": "grammar", "output": "b"}, "no input"),
        ({"task": "grammar", "input": 4, "output": "b"}, "input must be text"),
        ({"task": "grammar", "input": "a"}, "no output"),
        (
            {"task": "grammar", "input": "a", "text": "b"},
            r"no output \(the row has `task`, `input`, `text`\)",
        ),
        (
            {"task": "grammar", "text": "a", "answer": "b"},
            r"none of its keys .* \(it has `task`, `text`, `answer`\)",
        ),
        ({"task": "grammar", "input": "a", "output": 0.5}, "output must be an object or text"),
        (
            {"task": "grammar", "input": "a", "output": "b", "metadata": [1]},
            "metadata must be an object",
        ),
        ({"task": "grammar", "instruction": "a"}, "no output"),
        ({"task": "grammar", "prompt": "a"}, "no completion"),
        ({"task": "grammar", "messages": "hello"}, "messages must be a list"),
        ({"task": "grammar", "messages": [TURNS[0]]}, "no assistant turn"),
        ({"task": "grammar", "messages": [TURNS[1]]}, "no user turn"),
        ({"task": "grammar", "messages": ["hi"]}, "a turn is an object"),
        ({"task": "grammar", "messages": [{"role": "tool", "content": "x"}]}, "role is 'tool'"),
        (
            {"task": "grammar", "messages": [{"role": "user", "content": " "}]},
            "the user has no text",
        ),
    ],
)
def test_a_bad_row_says_why(row: Any, reason: str) -> None:
    with pytest.raises(BadRow, match=reason):
        read(row)


def test_any_task_is_accepted_where_no_names_are_given() -> None:
    assert record_from_row({"task": "mine", "input": "a", "output": "b"}, None, None).task == "mine"


def test_an_extra_prompt_or_instruction_does_not_make_a_task_s_record_a_conversation() -> None:
    row = {"task": "grammar", "input": "He go", "output": {"corrected": "He goes"}}
    for key in ("prompt", "instruction"):
        record = read(row | {key: "Correct it"})
        assert record == Record("grammar", "He go", {"corrected": "He goes"}, {key: "Correct it"})
    assert read(row | {"prompt": "Hi", "completion": "Hello"}).messages == TURNS
    alpaca = {"instruction": "Correct", "input": "He go", "output": "He goes"}
    assert read(alpaca, task="grammar").messages is not None
