from __future__ import annotations

import math
import unicodedata

from hypothesis import given
from hypothesis import strategies as st

from lexitrain.records.normalization import emptiness, loose_words, normalize_record, normalize_text
from lexitrain.records.record import Record


def test_spaces_lines_and_invisible_characters() -> None:
    assert normalize_text("  a\u00a0\tb  c ") == "a b c"
    assert normalize_text("a \r\n b\rc\u2028d") == "a\nb\nc\nd"
    assert normalize_text("a\n\n\n\nb") == "a\n\nb"
    assert normalize_text("\ufeffzero\u200bwidth\x07 so\u00adft") == "zerowidth soft"
    assert normalize_text("tie\u0302\u0301ng") == "tiếng"


@given(st.text(max_size=40))
def test_normalizing_twice_changes_nothing(text: str) -> None:
    once = normalize_text(text)
    assert normalize_text(once) == once
    assert unicodedata.is_normalized("NFC", once)
    assert "  " not in once


def test_a_record_is_normalized_through_and_through() -> None:
    record = Record("t", " a  b ", {"x": [" c  d ", 3, math.nan]}, {"y": {"z": " e "}})
    tidy = Record("t", "a b", {"x": ["c d", 3, None]}, {"y": {"z": "e"}})
    assert normalize_record(record) == tidy


def test_turns_keep_their_inner_spaces() -> None:
    turns = ({"role": "user", "content": " if x:\r\n    y\u200b "},)
    assert normalize_record(Record("t", "", None, {}, turns)).messages == (
        {"role": "user", "content": "if x:\n    y"},
    )


def test_loose_words_forget_case_and_punctuation() -> None:
    assert loose_words("It's STRASSE, straße!") == ["it", "s", "strasse", "strasse"]


def test_what_holds_too_little_to_learn_from() -> None:
    def reason(text: str, output: object = "x", minimum: int = 1) -> str | None:
        return emptiness(Record("t", text, output, {}), loose_words(text), minimum)  # type: ignore[arg-type]

    assert reason("") == "empty input"
    assert reason("a", {}) == "empty output"
    assert reason("?!") == "input too short"
    assert reason("ab c", minimum=4) == "input too short"
    assert reason("ab cd", minimum=4) is None
