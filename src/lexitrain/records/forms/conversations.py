"""Rows that are conversations, in any of their forms, with the row's own system text and earlier turns.

The wording is kept as it is. What a conversation cannot show (tools, images) is refused.
"""

from __future__ import annotations

from typing import Any, NamedTuple, cast

from lexitrain.records.forms.turns import turns_of
from lexitrain.records.forms.values import Row, as_turns, decoded, is_empty, kind, named_keys
from lexitrain.records.record import BadRow, is_learnt, to_json

SYSTEM = ("system", "system_prompt", "system_message")
HISTORY = ("history", "conversation_history", "conversation history", "chat_history")
_NOT_SHOWN = (
    *("tools", "functions", "image", "images", "video", "videos", "audio", "audios"),
    *("reasoning_content", "tool_calls"),
)
"""Columns that are part of what was said and that text cannot show."""


class Conversation(NamedTuple):
    """What a row says, and the keys that said it."""

    turns: tuple[dict[str, Any], ...]
    used: frozenset[str]


def conversation(row: Row) -> Conversation | None:
    """The conversation that a row is, or None where it is none.

    Raises:
        BadRow: it is one that cannot be learnt from, or not be shown as it is.
    """
    found = _own_turns(row)
    if found is None:
        return None
    turns, keys = found
    for key in _NOT_SHOWN:
        if not is_empty(row.get(key)):
            raise BadRow(f"the row has `{key}`, which the conversation cannot show")
    used = set(keys)
    if earlier := _filled(row, HISTORY, used):
        head = 1 if turns and turns[0]["role"] == "system" else 0
        turns[head:head] = _history(row[earlier], earlier)
    if system := _filled(row, SYSTEM, used):
        turns = _with_system(turns, row[system], system)
    _refuse_without_answers(turns, " and ".join(keys))
    return Conversation(tuple(turns), frozenset(used))


def _own_turns(row: Row) -> tuple[list[dict[str, Any]], tuple[str, ...]] | None:
    """The turns in the fields of the row's form, and these fields."""
    for key in ("messages", "conversations"):
        if row.get(key):
            return turns_of(row[key], key), (key,)
    if row.get("instruction"):
        asked = _asked(row["instruction"], row.get("input"))
        return asked + _answered(row, "output"), ("instruction", "input", "output")
    if row.get("prompt"):
        asked = _said(row["prompt"], "user", "prompt")
        return asked + _answered(row, "completion"), ("prompt", "completion")
    if as_turns(row.get("input")):
        asked = _said(row["input"], "user", "input")
        return asked + _answered(row, "output"), ("input", "output")
    return None


def _asked(instruction: object, more: object) -> list[dict[str, Any]]:
    """An Alpaca row's question: the instruction, and the input below it."""
    asked = _said(instruction, "user", "instruction")
    if is_empty(more) and more not in ("[]", "{}", "null"):
        return asked
    below = _said(more, "user", "input")
    if len(asked) == len(below) == 1 and asked[0]["role"] == below[0]["role"] == "user":
        return [{"role": "user", "content": f"{asked[0]['content']}\n\n{below[0]['content']}"}]
    return asked + below


def _answered(row: Row, key: str) -> list[dict[str, Any]]:
    """The answer under `key`; an object is one in JSON. An empty one stays: it is dropped and counted later."""
    if key not in row:
        raise BadRow(f"no {key} (the row has {named_keys(row)})")
    answer: object = row[key]
    if answer is None or answer in ("", [], {}):
        return [{"role": "assistant", "content": ""}]
    if isinstance(answer, dict) and as_turns(cast("object", answer)) is None:
        return [{"role": "assistant", "content": to_json(answer)}]
    return _said(cast("object", answer), "assistant", key)


def _said(value: object, role: str, key: str) -> list[dict[str, Any]]:
    """A text as one turn of `role`, or the turns that stand in its place."""
    if (turns := as_turns(value)) is not None:
        return turns_of(turns, key)
    if not isinstance(value, str):
        raise BadRow(f"{key} must be text or turns, this is {kind(value)}")
    return [{"role": role, "content": value if value.strip() else ""}]


def _filled(row: Row, keys: tuple[str, ...], used: set[str]) -> str | None:
    """The one of `keys` that is filled; adds those that are there to `used`. Two that differ are refused."""
    there = [key for key in keys if not is_empty(row.get(key))]
    used.update(key for key in keys if key in row)
    if any(row[key] != row[there[0]] for key in there[1:]):
        raise BadRow(f"the row has both `{there[0]}` and `{there[1]}`, and they differ")
    return there[0] if there else None


def _with_system(turns: list[dict[str, Any]], system: object, key: str) -> list[dict[str, Any]]:
    if not isinstance(system, str):
        raise BadRow(f"{key} must be text, this is {kind(system)}")
    if not turns or turns[0]["role"] != "system":
        return [{"role": "system", "content": system}, *turns]
    if turns[0]["content"].strip() != system.strip():
        raise BadRow(f"the row has a system turn and a `{key}` that says something else")
    return turns


def _history(value: object, key: str) -> list[dict[str, Any]]:
    """Earlier turns: a list of turns, or of pairs of a question and its answer."""
    value = decoded(value, list)
    if (turns := as_turns(value)) is not None:
        return turns_of(turns, key)
    pairs = cast("list[Any]", value) if isinstance(value, list) else [None]
    found: list[dict[str, Any]] = []
    for pair in pairs:
        if not isinstance(pair, list | tuple) or len(cast("list[Any]", pair)) != 2:
            raise BadRow(f"{key} must be a list of turns, or of pairs of a question and its answer")
        for role, said in zip(("user", "assistant"), cast("list[object]", pair), strict=True):
            if not isinstance(said, str) or not said.strip():
                raise BadRow(f"{key} holds a turn of the {role} without text")
            found.append({"role": role, "content": said})
    return found


def _refuse_without_answers(turns: list[dict[str, Any]], key: str) -> None:
    roles = {turn["role"] for turn in turns}
    if "assistant" not in roles:
        raise BadRow(f"{key} has no assistant turn: there is nothing to learn")
    if "user" not in roles:
        raise BadRow(f"{key} has no user turn: nobody is answered")
    if not any(map(is_learnt, turns)):
        raise BadRow(f"every answer of {key} has weight 0: there is nothing to learn")
