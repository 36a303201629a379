"""The forms a row of data can have, and the record each one becomes.

People bring `{task, input, output, metadata}`, `{task, messages, metadata}`, ShareGPT (`conversations` of `from` and
`value`), Alpaca (`instruction`, `input`, `output`) and `prompt`/`completion`. The last three are conversations: their
wording is kept as it is and every assistant turn is supervised. A row with input and output is of the first form also
where it carries a `prompt` without a completion, or an `instruction` and a task of its own. Columns that belong to no
form become metadata, so nothing is lost. Costs a few microseconds a row.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from functools import lru_cache
from typing import Any, cast

from lexitrain.errors import nearest
from lexitrain.records.record import ROLES, Record

Row = Mapping[str, Any]

_SHAREGPT_ROLES = {
    "human": "user",
    "gpt": "assistant",
    "chatgpt": "assistant",
    "bot": "assistant",
    "model": "assistant",
} | {role: role for role in ROLES}

_FORM_KEYS = frozenset(
    (
        "task",
        "input",
        "output",
        "metadata",
        "messages",
        "conversations",
        "instruction",
        "prompt",
        "completion",
    )
)


_AMBIGUOUS_KEYS = frozenset(("prompt", "instruction"))
"""Keys of a form that are metadata where the row is of another form."""


class BadRow(ValueError):
    """A row that is no record; the message is the reason, without the place."""


def record_from_row(row: object, aliases: Mapping[str, str] | None, task: str | None) -> Record:
    """The record a row stands for.

    Args:
        row: one parsed row; anything but an object is refused.
        aliases: every accepted name of a task and its short name; None accepts any name.
        task: the task of rows that name none.

    Raises:
        BadRow: the row has none of the known forms, or a field has the wrong type.
    """
    if not isinstance(row, Mapping):
        raise BadRow(f"a record is an object, this is {_kind(row)}")
    fields = cast(Row, row)
    name = _task(fields, aliases, task)
    metadata = _metadata(fields)
    turns = None if _is_plain(fields) else _conversation(fields)
    if turns is not None:
        asked = "\n".join(turn["content"] for turn in turns if turn["role"] == "user")
        return Record(name, asked, None, metadata, turns)
    return Record(name, _input(fields), _output(fields), metadata)


def _task(row: Row, aliases: Mapping[str, str] | None, default: str | None) -> str:
    name = row.get("task") or default
    if not name:
        raise BadRow("no task (name it in the record, or with --task)")
    if not isinstance(name, str):
        raise BadRow(f"task must be text, this is {_kind(name)}")
    if aliases is None:
        return name
    short = aliases.get(name)
    if short is None:
        raise BadRow(_unknown_task(name, tuple(aliases)))
    return short


@lru_cache(maxsize=256)  # one wrong name usually stands in many rows, and the search is slow
def _unknown_task(name: str, known: tuple[str, ...]) -> str:
    closest = nearest(name, known)
    hint = f"did you mean {closest!r}?" if closest else f"known: {', '.join(sorted(known))}"
    return f"unknown task {name[:60]!r} ({hint})"


def _input(row: Row) -> str:
    text = row.get("input")
    if text is None:
        raise BadRow("no input")
    if not isinstance(text, str):
        raise BadRow(f"input must be text, this is {_kind(text)}")
    return text


def _output(row: Row) -> dict[str, Any] | str:
    output = _decoded(row.get("output"))
    if output is None or output == "":
        raise BadRow("no output")
    if not isinstance(output, dict | str):
        raise BadRow(f"output must be an object or text, this is {_kind(output)}")
    return cast("dict[str, Any] | str", output)


def _metadata(row: Row) -> dict[str, Any]:
    value = _decoded(row.get("metadata"))
    if value is None or value == "":
        metadata: dict[str, Any] = {}
    elif isinstance(value, dict):
        metadata = cast("dict[str, Any]", value)
    else:
        raise BadRow(f"metadata must be an object, this is {_kind(value)}")
    if len(row) > 4 or not _FORM_KEYS.issuperset(row) or not _AMBIGUOUS_KEYS.isdisjoint(row):
        used = _FORM_KEYS - _AMBIGUOUS_KEYS if _is_plain(row) else _FORM_KEYS
        others = {key: value for key, value in row.items() if key not in used}
        metadata = others | metadata
    return metadata


def _is_plain(row: Row) -> bool:
    """Whether a row that might be of several forms is `{task, input, output}`: an Alpaca row names no task."""
    if not row.get("input") or not row.get("output") or row.get("completion"):
        return False
    if row.get("messages") or row.get("conversations"):
        return False
    return bool(row.get("task")) if row.get("instruction") else True


def _decoded(value: Any) -> Any:
    """Cells of tables hold objects as JSON text; text that is no JSON stays text."""
    if isinstance(value, str) and value.lstrip()[:1] in ("{", "["):
        try:
            return json.loads(value)
        except ValueError:
            return value
    return value


def _conversation(row: Row) -> tuple[dict[str, str], ...] | None:
    """The turns of a row that is a conversation in any form; None for `{input, output}`."""
    if row.get("messages"):
        return _turns(row["messages"], "messages", "role", "content")
    if row.get("conversations"):
        return _turns(row["conversations"], "conversations", "from", "value")
    if row.get("instruction"):
        asked = "\n\n".join(str(row[key]) for key in ("instruction", "input") if row.get(key))
        return _single_turn(asked, row.get("output"), "output")
    if row.get("prompt"):
        prompt, completion = _decoded(row["prompt"]), _decoded(row.get("completion"))
        if isinstance(prompt, list) and isinstance(completion, list):
            both = cast("list[object]", prompt) + cast("list[object]", completion)
            return _turns(both, "prompt and completion", "role", "content")
        return _single_turn(str(row["prompt"]), row.get("completion"), "completion")
    return None


def _single_turn(asked: str, answer: object, key: str) -> tuple[dict[str, str], ...]:
    if answer is None or answer == "":
        raise BadRow(f"no {key}")
    text = answer if isinstance(answer, str) else json.dumps(answer, ensure_ascii=False)
    return ({"role": "user", "content": asked}, {"role": "assistant", "content": text})


def _turns(value: object, key: str, role_key: str, text_key: str) -> tuple[dict[str, str], ...]:
    value = _decoded(value)
    if not isinstance(value, list):
        raise BadRow(f"{key} must be a list, this is {_kind(value)}")
    turns = tuple(_turn(turn, role_key, text_key) for turn in cast("list[object]", value))
    roles = [turn["role"] for turn in turns]
    if "assistant" not in roles:
        raise BadRow(f"{key} has no assistant turn: there is nothing to learn")
    if "user" not in roles[: roles.index("assistant")]:
        raise BadRow(f"{key} has no user turn before the first answer")
    return turns


def _turn(turn: object, role_key: str, text_key: str) -> dict[str, str]:
    if not isinstance(turn, Mapping):
        raise BadRow(f"a turn is an object, this is {_kind(turn)}")
    fields = cast(Row, turn)
    role = _SHAREGPT_ROLES.get(str(fields.get(role_key)))
    if role is None:
        raise BadRow(
            f"a turn's {role_key} is {str(fields.get(role_key))[:40]!r}, not one of {', '.join(ROLES)}"
        )
    content = fields.get(text_key)
    if isinstance(content, list):  # the multi-part form; only its text can be trained on here
        parts = cast("list[object]", content)
        content = "".join(
            str(cast(Row, part).get("text", "")) for part in parts if isinstance(part, Mapping)
        )
    if not isinstance(content, str) or not content.strip():
        raise BadRow(f"a turn of the {role} has no text")
    return {"role": role, "content": content}


def _kind(value: object) -> str:
    if value is None:
        return "null"
    if isinstance(value, Mapping):
        return "an object"
    names = {
        "bool": "true or false",
        "int": "a number",
        "float": "a number",
        "str": "text",
        "list": "a list",
    }
    return names.get(type(value).__name__, type(value).__name__)
