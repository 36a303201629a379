"""The forms a row of data can have, and the record each one becomes.

People bring `{task, input, output, metadata}`, `{task, messages, metadata}`, ShareGPT (`conversations` of `from` and
`value`), Alpaca (`instruction`, `input`, `output`) and `prompt`/`completion`. All but the first are conversations
(`forms/conversations.py`). A row with input and output is of the first form also where it carries a `prompt` without a
completion, or an `instruction` and a task of its own. Columns that belong to no form become metadata, so nothing is
lost. Costs a few microseconds a row.
"""

from __future__ import annotations

from collections.abc import Mapping
from functools import lru_cache
from typing import Any, cast

from lexitrain.errors import nearest
from lexitrain.records.forms.conversations import conversation
from lexitrain.records.forms.unlearnable import refuse_unlearnable
from lexitrain.records.forms.values import Row, as_turns, decoded, is_empty, kind, named_keys
from lexitrain.records.opening.json_text import RepeatedKey
from lexitrain.records.record import BadRow, Record

_PLAIN = frozenset(("task", "input", "output", "metadata"))

FORM_KEYS = _PLAIN | {"messages", "conversations", "instruction", "prompt", "completion"}
"""The columns that make a row a record; a row that has none but `task` and `metadata` is of no form."""

NO_TASK = "no task (name it in the record, in --map task=NAME, or with --task)"
"""The reason against a row whose task nobody names."""

_SAYS_NOTHING = FORM_KEYS - {"task", "metadata"}


def record_from_row(row: object, aliases: Mapping[str, str] | None, task: str | None) -> Record:
    """The record a row stands for.

    Args:
        row: one parsed row; anything but an object is refused.
        aliases: every accepted name of a task and its short name; None accepts any name.
        task: the task of rows that name none.

    Raises:
        BadRow: the row has none of the known forms, a field has the wrong type, or it is nothing to be learnt.
    """
    if not isinstance(row, Mapping):
        raise BadRow(f"a record is an object, this is {kind(row)}")
    fields = cast(Row, row)
    try:
        if _is_plain(fields):
            return _plain(fields, _task(fields, aliases, task))
        return _conversation(fields, aliases, task)
    except RepeatedKey as error:
        raise BadRow(str(error)) from None


def _is_plain(row: Row) -> bool:
    """Whether a row that might be of several forms is `{task, input, output}`: an Alpaca row names no task."""
    asked = row.get("input")
    if not asked or "output" not in row or row.get("completion"):
        return False
    if row.get("messages") or row.get("conversations") or not _is_text(asked):
        return False
    return bool(row.get("task")) if row.get("instruction") else True


def _is_text(value: Any) -> bool:
    """Whether a value is not turns in the place of a text."""
    if isinstance(value, str) and value[0] not in "[{ ":  # the usual case
        return True
    return as_turns(value) is None


def _conversation(row: Row, aliases: Mapping[str, str] | None, task: str | None) -> Record:
    """The record of a row that is a conversation, or lacks something."""
    refuse_unlearnable(
        {key: value for key, value in row.items() if key not in FORM_KEYS}, is_conversation=True
    )
    if _SAYS_NOTHING.isdisjoint(row):
        raise BadRow(_no_form(row))
    name = _task(row, aliases, task)
    found = conversation(row)
    if found is None:
        return _plain(row, name)
    asked = "\n".join(turn["content"] for turn in found.turns if turn["role"] == "user")
    used = found.used | {"task", "metadata"}
    others = {
        key: value
        for key, value in row.items()
        if key not in used and not (key in FORM_KEYS and is_empty(value))
    }
    if "input" in others and _same_words(others["input"], asked):
        del others["input"]  # a prepared record: the user's turns once more
    return Record(name, asked, None, _metadata(row, others), found.turns)


def _same_words(text: object, other: str) -> bool:
    return isinstance(text, str) and text.split() == other.split()


def _no_form(row: Row) -> str:
    reason = (
        f"none of its keys is a known one (it has {named_keys(row)}): a record has `input` and `output`, "
        "`messages`, `conversations`, `instruction` and `output`, or `prompt` and `completion`; the first "
        "line of a table must be a header that names its columns so"
    )
    for key, value in row.items():
        if isinstance(value, list) and value and isinstance(value[0], Mapping):
            return f"records stand under `{str(key)[:40]}`: bring that list alone; {reason}"
    return reason


def _task(row: Row, aliases: Mapping[str, str] | None, default: str | None) -> str:
    name = row.get("task") or default
    if not name:
        raise BadRow(NO_TASK)
    if not isinstance(name, str):
        raise BadRow(f"task must be text, this is {kind(name)}")
    if aliases is None:
        return name
    short = aliases.get(name)
    if short is None:
        raise BadRow(_unknown_task(name, tuple(aliases)))
    return short


@lru_cache(maxsize=256)  # one wrong name usually stands in many rows, and the search is slow
def _unknown_task(name: str, known: tuple[str, ...]) -> str:
    closest = nearest(name, known)
    hint = (
        f"did you mean {closest!r}?"
        if closest
        else f"known: {', '.join(sorted(known))}; one of your own: --custom-task FILE.py"
    )
    return f"unknown task {name[:60]!r} ({hint})"


def _plain(row: Row, name: str) -> Record:
    """The record of a row that is `{task, input, output, metadata}`."""
    others: Row = {}
    if len(row) > 4 or not _PLAIN.issuperset(row):
        others = {
            key: value
            for key, value in row.items()
            if key not in _PLAIN and not (key in FORM_KEYS and is_empty(value))
        }
        refuse_unlearnable(others, is_conversation=False)
    return Record(name, _input(row), _output(row), _metadata(row, others))


def _input(row: Row) -> str:
    text = row.get("input")
    if text is None:
        if "input" in row or any(key in row for key in ("prompt", "instruction")):
            return ""  # a cell without text: dropped and counted later
        raise BadRow(f"no input (the row has {named_keys(row)})")
    if not isinstance(text, str):
        raise BadRow(f"input must be text, this is {kind(text)}")
    return text


def _output(row: Row) -> dict[str, Any] | str:
    """The output, "" where it is empty: that is dropped and counted later, and no fault of the file's form."""
    output = decoded(row.get("output"), dict)
    if output is None:
        if "output" in row or "completion" in row:
            return ""
        raise BadRow(f"no output (the row has {named_keys(row)})")
    if not isinstance(output, dict | str):
        raise BadRow(f"output must be an object or text, this is {kind(output)}")
    return cast("dict[str, Any] | str", output)


def _metadata(row: Row, others: Row) -> dict[str, Any]:
    """The row's metadata, and the columns of no form."""
    value = decoded(row.get("metadata"), dict)
    if value is None or value == "":
        return dict(others)
    if not isinstance(value, dict):
        raise BadRow(f"metadata must be an object, this is {kind(value)}")
    metadata = cast("dict[str, Any]", value)
    if not others:
        return metadata
    for key in metadata.keys() & others.keys():
        if metadata[key] != others[key]:
            raise BadRow(f"`{key}` stands in the row and in its metadata, with different values")
    return {**others, **metadata}
