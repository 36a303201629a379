"""The turns of a conversation: whose they are, what they say, whether they are learnt.

A turn is `role` and `content` (or `from` and `value`). What a turn holds beside them and could matter (a call of a
tool, a thought, an image, a name, a key that nobody here knows) is refused: the model would learn from a conversation
that it does not see. Empty fields say nothing and are passed over.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, cast

from lexitrain.records.forms.values import Row, decoded, is_empty, kind
from lexitrain.records.record import ROLES, BadRow

_ROLES = {
    "human": "user",
    "gpt": "assistant",
    "chatgpt": "assistant",
    "bot": "assistant",
    "model": "assistant",
} | {role: role for role in ROLES}
"""Names of roles, those of ShareGPT too."""

_WEIGHTS = ("weight", "train", "training", "loss_weight", "loss")
"""What other trainers call a turn's weight: OpenAI and SlimOrca, axolotl, ms-swift."""

_ROLE_KEYS = ("role", "from")
_TEXT_KEYS = ("content", "value")
_TEXT_PARTS = frozenset(("text", "input_text", "output_text"))

_WHAT_IT_IS = {
    "tool_calls": "a call of a tool",
    "function_call": "a call of a function",
    "tool_call_id": "an answer of a tool",
    "reasoning_content": "a thought",
    "reasoning": "a thought",
    "thinking": "a thought",
    "name": "a name of the speaker",
    "refusal": "a refusal",
}
"""Keys that other tools give a turn, and what they say."""


def turns_of(value: object, key: str) -> list[dict[str, Any]]:
    """The turns in a list, in order; system turns without text left out.

    Args:
        value: the list, or its JSON text.
        key: what reasons call it.

    Raises:
        BadRow: it is no list, or a turn in it cannot be shown to a model as it is.
    """
    value = decoded(value, list)
    if not isinstance(value, list):
        raise BadRow(f"{key} must be a list, this is {kind(value)}")
    found = (_turn(turn) for turn in cast("list[object]", value))
    return [turn for turn in found if turn["content"] or turn["role"] != "system"]


def _turn(turn: object) -> dict[str, Any]:
    if not isinstance(turn, Mapping):
        raise BadRow(f"a turn is an object, this is {kind(turn)}")
    fields = cast(Row, turn)
    role = _role(fields)
    if len(fields) > 2:
        _refuse_what_cannot_be_shown(fields, role)
    text = _text(_either(fields, _TEXT_KEYS), role)
    if role == "user" and not text:
        raise BadRow(f"a turn of the {role} has no text")
    read: dict[str, Any] = {"role": role, "content": text}
    if len(fields) > 2 and _is_context(fields, role):
        read["weight"] = 0
    return read


def _either(fields: Row, keys: tuple[str, str]) -> Any:
    """The field under one of two keys; where both are filled they must agree."""
    first, second = (fields.get(key) for key in keys)
    if first is None or second is None or first == second:
        return second if first is None else first
    raise BadRow(f"a turn has both `{keys[0]}` and `{keys[1]}`, and they differ")


def _role(fields: Row) -> str:
    name = _either(fields, _ROLE_KEYS)
    role = _ROLES.get(name) if isinstance(name, str) else None
    if role is None:
        key = next((key for key in _ROLE_KEYS if fields.get(key) is not None), _ROLE_KEYS[0])
        shown = repr(name[:40]) if isinstance(name, str) else kind(name)
        raise BadRow(f"a turn's {key} is {shown}, not one of {', '.join(ROLES)}")
    return role


def _refuse_what_cannot_be_shown(fields: Row, role: str) -> None:
    for key, value in fields.items():
        if key in _ROLE_KEYS or key in _TEXT_KEYS or key in _WEIGHTS or is_empty(value):
            continue
        what = _WHAT_IT_IS.get(key)
        about = f" ({what})" if what else ""
        raise BadRow(
            f"a turn of the {role} has `{str(key)[:40]}`{about}, which would be lost: write it into the "
            "text, or leave it out"
        )


def _is_context(fields: Row, role: str) -> bool:
    """Whether a weight says that the turn is not learnt. Of the user's and the system's nothing is anyway."""
    weights = {key: fields[key] for key in _WEIGHTS if fields.get(key) is not None}
    for key, value in weights.items():
        if not isinstance(value, bool | int | float) or value not in (0, 1):
            shown = value if isinstance(value, int | float) else kind(value)
            raise BadRow(
                f"a turn of the {role} has `{key}` {shown}: a turn is learnt (1, true) or is context "
                "(0, false)"
            )
        if value and role != "assistant":
            raise BadRow(f"a turn of the {role} has `{key}` {value}: only answers are learnt")
    if len({bool(value) for value in weights.values()}) > 1:
        raise BadRow(f"a turn of the {role} has weights that differ: {', '.join(weights)}")
    return role == "assistant" and 0 in weights.values()


def _text(content: object, role: str) -> str:
    """The text of a turn; "" where it is blank."""
    if content is None:
        return ""
    if isinstance(content, list):
        content = "".join(_part(part, role) for part in cast("list[object]", content))
    if not isinstance(content, str):
        raise BadRow(f"the content of a turn of the {role} must be text, this is {kind(content)}")
    return content if content.strip() else ""


def _part(part: object, role: str) -> str:
    """The text of a part of a turn; a part that is no text is refused."""
    if isinstance(part, str):
        return part
    if not isinstance(part, Mapping):
        raise BadRow(f"a part of a turn of the {role} is {kind(part)}, not text")
    fields = cast(Row, part)
    called = fields.get("type", "text")
    if not isinstance(called, str) or called not in _TEXT_PARTS:
        shown = repr(called[:40]) if isinstance(called, str) else kind(called)
        raise BadRow(f"a turn of the {role} has a part of type {shown}, which is no text")
    text = fields.get("text")
    if not isinstance(text, str):
        raise BadRow(f"a part of a turn of the {role} holds {kind(text)} where its text belongs")
    for key, value in fields.items():
        if key not in ("type", "text") and not is_empty(value):
            raise BadRow(f"a part of a turn of the {role} has `{str(key)[:40]}` beside its text")
    return text
