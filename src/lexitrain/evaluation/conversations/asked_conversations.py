"""Conversations to be answered, read from a file: a JSON list of turns, or JSONL with one conversation a line."""

from __future__ import annotations

import json
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import Any, cast

from lexitrain.errors import DataError
from lexitrain.storage import user_path
from lexitrain.tasks import loads_strict

Turns = list[dict[str, Any]]
_KEYS = ("messages", "conversations")


@dataclass(frozen=True, slots=True)
class AskedConversations:
    """Conversations of a file.

    Attributes:
        turns: of each conversation.
        places: of each, as an error names it.
        single: whether the file is one conversation, not a list of them.
    """

    turns: tuple[Turns, ...]
    places: tuple[str, ...]
    single: bool


def read_conversations(source: str | Path) -> AskedConversations:
    """The conversations of a file.

    A conversation is a list of turns `{"role", "content"}` (or `{"from", "value"}`), or an object that holds one under
    `messages` or `conversations` and nothing else. A file that ends in .jsonl, or is no single JSON document, holds one
    a line.

    Args:
        source: the file; `-` is standard input.

    Raises:
        DataError: the file cannot be read, or a line holds no conversation; names `file:line`.
    """
    name = "standard input" if str(source) == "-" else str(user_path(source))
    text = _text(source, name)
    whole = None if name.endswith(".jsonl") else _loaded(text, name)
    single = isinstance(whole, dict) or (
        isinstance(whole, list) and _is_turn(next(iter(whole), {}))
    )
    if single:
        found = [(name, whole)]
    elif isinstance(whole, list):
        elements = cast("list[object]", whole)
        found = [(f"{name}, element {number}", each) for number, each in enumerate(elements, 1)]
    else:
        lines = ((f"{name}:{n}", line) for n, line in enumerate(text.split("\n"), 1))
        found = [(place, _line(line, place)) for place, line in lines if line.strip()]
    if not found:
        raise DataError("There is no conversation.", where=name)
    turns = tuple(_turns(each, place) for place, each in found)
    return AskedConversations(turns, tuple(place for place, _ in found), single)


def _text(source: str | Path, name: str) -> str:
    try:
        raw = sys.stdin.buffer.read() if str(source) == "-" else user_path(source).read_bytes()
        return raw.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        raise DataError(
            f"The file is not UTF-8 ({error.reason} at byte {error.start}).",
            where=name,
            fix="Convert it: iconv -f LATIN1 -t UTF-8 (or -f UTF-16).",
        ) from None
    except OSError as error:
        raise DataError(f"The file cannot be read: {error.strerror}.", where=name) from error


def _loaded(text: str, where: str) -> object:
    """The document that the text is; None where it is no single one."""
    try:
        json.loads(text)
    except (ValueError, RecursionError):
        return None
    return _line(text, where)


def _line(text: str, where: str) -> object:
    """By the rules of data: of a key that stands twice nobody can say which one is meant."""
    try:
        return loads_strict(text)
    except ValueError as error:
        raise DataError(
            f"This is no JSON ({error}).",
            where=where,
            fix="Give one JSON document, or one conversation a line.",
        ) from None


def _is_turn(value: object) -> bool:
    return isinstance(value, dict) and ("role" in value or "from" in value)


def _turns(value: object, where: str) -> Turns:
    """The turns of one conversation."""
    if isinstance(value, dict):
        fields = cast("dict[str, object]", value)
        held = [key for key in _KEYS if key in fields]
        if len(held) != 1 or len(fields) != 1:
            raise DataError(
                f"A conversation is a list of turns; this is an object with {', '.join(fields) or 'nothing'}.",
                where=where,
                fix='Give [{"role": "user", "content": "…"}], or {"messages": […]} alone.',
            )
        value = fields[held[0]]
    if not isinstance(value, list) or not all(
        _is_turn(turn) for turn in cast("list[object]", value)
    ):
        raise DataError(
            "This is no conversation.",
            where=where,
            fix='One is a list of turns: [{"role": "user", "content": "…"}].',
        )
    return cast("Turns", value)
