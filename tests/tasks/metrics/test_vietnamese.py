from __future__ import annotations

import json
import unicodedata

import pytest

from lexitrain.tasks.metrics.vietnamese import is_vietnamese
from tests.corpora import real_data


@pytest.mark.parametrize(
    "text",
    [
        "Thiếu mạo từ trước danh từ đếm được.",
        unicodedata.normalize("NFD", "Động từ phải hòa hợp với chủ ngữ."),
        "Sai thì quá khứ: went, not go",
        "Dùng 'an' trước nguyên âm, ví dụ 'an apple', \"an hour\", `an egg` and (an only child).",
    ],
)
def test_vietnamese_is_told(text: str) -> None:
    assert is_vietnamese(text)


@pytest.mark.parametrize(
    "text",
    [
        "The verb must agree with its subject.",
        "Le verbe s'accorde avec son sujet, même après une négation.",
        "Așa și bună dimineața în București",
        "Đorđe živi u Beogradu i uči srpski",
        "khong co dau thi kho doc",
        "Das Verb muß zum Subjekt passen, sonst ist's häßlich.",
        "動詞は主語と一致する。",
        "",
        "123 ... !",
    ],
)
def test_other_languages_are_not(text: str) -> None:
    assert not is_vietnamese(text)


@pytest.mark.real_data
def test_every_real_explanation_is_vietnamese_and_no_english_sentence_is() -> None:
    with (real_data() / "explanation_vi_cursor_pro_max.jsonl").open(encoding="utf-8") as file:
        explanations = [json.loads(line)["output"]["explanation"] for line in file]
    with (real_data() / "grammar_jfleg.jsonl").open(encoding="utf-8") as file:
        sentences = [json.loads(line)["input"] for line in file]
    assert all(map(is_vietnamese, explanations))
    assert not any(map(is_vietnamese, sentences))
