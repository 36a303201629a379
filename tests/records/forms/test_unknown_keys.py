"""No key of a record vanishes: at every level an unknown one is kept in the record, or the row is refused; one of an
output is kept and named as one that is not taught."""

from __future__ import annotations

import json
from copy import deepcopy
from typing import Any

from hypothesis import given, settings
from hypothesis import strategies as st

from lexitrain.records.normalization import tidy_record
from lexitrain.records.record import BadRow
from lexitrain.tasks import registry

PART = {"type": "text", "text": "q"}
ROWS: list[dict[str, Any]] = [
    {
        "task": "grammar",
        "input": "q",
        "output": {"corrected": "a", "errors": [{"type": "X", "span": "y"}]},
    },
    {"task": "grammar", "input": "q", "output": {"corrected": "a"}, "metadata": {"source": "s"}},
    {"messages": [{"role": "user", "content": [PART]}, {"role": "assistant", "content": "a"}]},
    {"conversations": [{"from": "human", "value": "q"}, {"from": "gpt", "value": "a"}]},
    {"instruction": "q", "input": "", "output": "a", "system": "s", "history": [["x", "y"]]},
    {"prompt": [{"role": "user", "content": "q"}], "completion": "a", "metadata": {}},
]
MARK = "ZqMarkZq"

values = st.sampled_from([MARK, [MARK], {"k": MARK}, [{"type": "image", "url": MARK}]])
keys = st.text(min_size=1).filter(lambda key: key not in {"content", "value"}) | st.sampled_from(
    [
        "weight",
        "tool_calls",
        "name",
        "tools",
        "images",
        "chosen",
        "label",
        "thought",
        "text",
        "from",
    ]
)


def objects(value: Any) -> list[dict[str, Any]]:
    """All objects within a value, itself too."""
    if isinstance(value, dict):
        return [value, *(each for inner in value.values() for each in objects(inner))]
    if isinstance(value, list):
        return [each for inner in value for each in objects(inner)]
    return []


@settings(deadline=None)
@given(st.sampled_from(ROWS), st.data())
def test_an_unknown_key_is_kept_or_refused(row: dict[str, Any], data: st.DataObject) -> None:
    row = deepcopy(row)
    target = data.draw(st.sampled_from(range(len(objects(row)))))
    found = objects(row)[target]
    key = data.draw(keys.filter(lambda key: key not in found))
    found[key] = data.draw(values)
    try:
        _, line = tidy_record(row, None, "dialogue")
    except BadRow:
        return
    assert MARK in json.dumps(json.loads(line))


@settings(deadline=None)
@given(st.sampled_from(ROWS[:2]), st.booleans(), st.data())
def test_an_unknown_key_of_an_output_is_named(
    row: dict[str, Any], as_text: bool, data: st.DataObject
) -> None:
    row = deepcopy(row)
    inside = objects(row["output"])
    target = data.draw(st.sampled_from(range(len(inside))))
    key = data.draw(keys.filter(lambda key: key not in {"corrected", "errors", "type", "span"}))
    inside[target][key] = MARK
    if as_text:
        row["output"] = json.dumps(row["output"])
    record, _ = tidy_record(row, None, "grammar")
    (named,) = registry()["grammar"].unlearnt(record)
    assert named == (key if target == 0 else f"errors[].{key}")
