"""Tidy text: the same characters for the same words, and the looser forms that duplicates are judged by.

`normalize_text` changes nothing a reader would see: canonical Unicode (NFC), one kind of space and line end, no
invisible characters. `loose_words` forgets case and punctuation too; it is used to compare, never written out.
About a microsecond for a sentence that is tidy already.
"""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Mapping
from math import isfinite
from typing import Any, cast

from lexitrain.records.record import BadRow, Record
from lexitrain.records.rows import record_from_row

TOO_SHORT = "input too short"
"""Why a record with too few letters and digits is not kept."""

# Characters without a glyph that come with copied web text: controls, soft hyphen, zero-width space, word joiner, BOM.
# Zero-width (non-)joiners stay: some scripts need them.
_INVISIBLE = re.compile("[\x00-\x08\x0e-\x1f\x7f\u00ad\u200b\u2060\ufeff]")
_LINE_ENDS = re.compile("\r\n?|[\x0b\x0c\x85\u2028\u2029]")
_SPACES = re.compile(r"[^\S\n]+")
_SPACES_AT_LINE_ENDS = re.compile(r" ?\n ?")
_BLANK_LINES = re.compile(r"\n{3,}")
_WORDS = re.compile(r"\w+")


def normalize_text(text: str) -> str:
    """Canonical Unicode, single spaces, `\\n` line ends, at most one blank line in a row, no invisible characters."""
    if not text.isascii() and not unicodedata.is_normalized("NFC", text):
        text = unicodedata.normalize("NFC", text)
    if text.isprintable() and "  " not in text:  # the usual case: one tidy line
        return text.strip()
    text = _LINE_ENDS.sub("\n", _INVISIBLE.sub("", text))
    text = _SPACES_AT_LINE_ENDS.sub("\n", _SPACES.sub(" ", text))
    return _BLANK_LINES.sub("\n\n", text).strip()


def normalize_value(value: Any) -> Any:
    """`value` with every text in it normalized; lists and objects keep their shape and order.

    NaN and infinity, which JSON does not have, become null.
    """
    if isinstance(value, str):
        return normalize_text(value)
    if isinstance(value, dict):
        return {key: normalize_value(each) for key, each in cast("dict[str, Any]", value).items()}
    if isinstance(value, list):
        return [normalize_value(each) for each in cast("list[Any]", value)]
    return None if isinstance(value, float) and not isfinite(value) else value


def normalize_record(record: Record) -> Record:
    """The record with every text in it normalized. Turns of a conversation keep their inner spacing."""
    turns = record.messages
    if turns is not None:
        turns = tuple({**turn, "content": _tidy_turn(turn["content"])} for turn in turns)
    return Record(
        record.task,
        normalize_text(record.input),
        normalize_value(record.output),
        normalize_value(record.metadata),
        turns,
    )


def tidy_record(
    row: object, aliases: Mapping[str, str] | None, task: str | None
) -> tuple[Record, bytes]:
    """The normalized record that a row stands for, and its line as `data prepare` writes it.

    Args as of `record_from_row`.

    Raises:
        BadRow: the row is no record, is nested too deeply, or holds half a character.
    """
    try:
        record = normalize_record(record_from_row(row, aliases, task))
        return record, (record.to_json() + "\n").encode()
    except UnicodeEncodeError:
        raise BadRow("half a surrogate pair: no Unicode text") from None
    except RecursionError:
        raise BadRow("nested too deeply") from None


def _tidy_turn(text: str) -> str:
    """A turn may hold code or a table: its spaces are its own."""
    return _LINE_ENDS.sub("\n", _INVISIBLE.sub("", unicodedata.normalize("NFC", text))).strip()


def loose_words(text: str) -> list[str]:
    """The words of `text` without case and punctuation."""
    return _WORDS.findall(text.casefold())


def emptiness(record: Record, words: list[str], minimum_characters: int) -> str | None:
    """Why a normalized record holds too little to learn from, or None.

    Args:
        words: `loose_words` of its input.
        minimum_characters: letters and digits that an input must have.
    """
    if not record.input:
        return "empty input"
    if record.messages is None:
        if not record.output:
            return "empty output"
    elif not all(turn["content"] for turn in record.messages if turn["role"] == "assistant"):
        return "empty output"
    if sum(map(len, words)) < minimum_characters:
        return TOO_SHORT
    return None
