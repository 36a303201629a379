"""Explanation: why a sentence is wrong, in Vietnamese.

Scores: chrF against the best of the references (`metadata.references` may add texts), the share of explanations that
are Vietnamese (`metrics/vietnamese.py`), and error-type mention: the share of explanations that name what the error is
about. The types of a record are `metadata.error_types` or `metadata.error_type`; records without one are left out of
that score. A type is mentioned when the explanation holds, case aside, one of its names as whole words: the names of
every grammar topic of `TOPICS` that the label itself holds, or, for a label outside of them, the label. Records with
several types score the share mentioned.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, ClassVar

from lexitrain.tasks.metrics.bootstrap import Statistic
from lexitrain.tasks.metrics.scores import chrf, mean, most_frequent, texts
from lexitrain.tasks.metrics.vietnamese import is_vietnamese
from lexitrain.tasks.schema import Schema
from lexitrain.tasks.task import Answer, Predictor, Task, metadata_list

if TYPE_CHECKING:
    from lexitrain.records import Record

TOPICS: Mapping[str, tuple[str, ...]] = {
    "article": ("mạo từ", "article", "articles", "determiner", "a vs an"),
    "preposition": ("giới từ", "preposition", "prepositions"),
    "agreement": (
        *("hòa hợp", "hoà hợp", "agreement", "chủ ngữ", "chủ-vị", "subject verb", "ngôi thứ"),
    ),
    "tense": (
        *(
            "chia thì",
            "nhất quán thì",
            "thì của",
            "tense",
            "tenses",
            "quá khứ",
            "hiện tại",
            "tương lai",
        ),
        *("past simple", "present simple", "present perfect", "verb tense"),
    ),
    "number": ("số nhiều", "số ít", "plural", "singular", "noun number"),
    "countability": (*("đếm được", "không đếm được", "countable", "uncountable", "much vs many"),),
    "word form": (
        *("dạng từ", "word form", "tính từ", "trạng từ", "danh từ", "adjective", "adverb"),
    ),
    "verb form": ("dạng động từ", "verb form", "nguyên mẫu", "infinitive", "gerund", "to v"),
    "spelling": ("chính tả", "viết sai", "spelling"),
    "word order": ("trật tự từ", "trật tự", "thứ tự từ", "word order"),
    "punctuation": ("dấu câu", "dấu phẩy", "dấu chấm", "punctuation"),
    "capitalization": ("viết hoa", "chữ hoa", "capitalization", "capital letter"),
    "pronoun": ("đại từ", "pronoun", "pronouns"),
    "conjunction": ("liên từ", "từ nối", "conjunction", "either...or"),
    "word choice": ("chọn từ", "dùng từ", "word choice", "dịch word-by-word", "từng từ"),
    "missing word": ("thiếu từ", "thiếu thành phần", "missing word"),
    "comparison": ("so sánh", "comparison", "comparative", "superlative"),
    "negation": ("phủ định", "negation"),
}


class Explanation(Task):
    """Explains an error."""

    name = "explanation"
    short = "explanation"
    maximum_answer_tokens = 320
    score_names = frozenset({"chrf", "vietnamese", "error_type_mention"})
    schema: ClassVar[Schema] = {
        "type": "object",
        "properties": {"explanation": {"type": "string", "minLength": 1}},
    }

    primary = "chrf"
    scores_of_some = frozenset({"error_type_mention"})
    scored_by: ClassVar = {"explanation": ("chrf", "vietnamese")}
    english = True
    answer_language: ClassVar = {"explanation": is_vietnamese}

    def statistics(
        self, records: Sequence[Record], answers: Sequence[Answer | None]
    ) -> dict[str, Statistic]:
        said = texts(answers, "explanation")
        references = [
            [str(answer["explanation"]), *further_references(record)]
            for record, answer in zip(records, self.references(records), strict=True)
        ]
        types = [error_types(record) for record in records]
        found: dict[str, Statistic] = {
            "chrf": mean(chrf(said, references)),
            "vietnamese": mean([text is not None and is_vietnamese(text) for text in said]),
        }
        if any(types):
            shares = [
                share_mentioned(text, labels) for text, labels in zip(said, types, strict=True)
            ]
            found["error_type_mention"] = mean(shares, [bool(labels) for labels in types])
        return found

    def trivial(self, train_records: Sequence[Record]) -> Predictor:
        """Always the most frequent explanation."""
        known = self.references(train_records)
        explanation = most_frequent(answer["explanation"] for answer in known)
        return lambda _: {"explanation": explanation}


def further_references(record: Record) -> list[str]:
    """The texts of `metadata.references`."""
    return [text for text in metadata_list(record, "references") if isinstance(text, str)]


def error_types(record: Record) -> list[str]:
    """The labels of the errors that the record explains."""
    label = record.metadata.get("error_type")
    labels = metadata_list(record, "error_types") or [label]
    return [label for label in labels if isinstance(label, str) and label]


def share_mentioned(explanation: str | None, labels: Sequence[str]) -> float:
    """The share of the error types that the explanation names; 0 for an invalid answer or no type."""
    if explanation is None or not labels:
        return 0.0
    named = [any(_holds(explanation, name) for name in names(label)) for label in labels]
    return sum(named) / len(named)


def names(label: str) -> tuple[str, ...]:
    """What an error type may be called in an explanation."""
    plain = label.replace("_", " ")
    topics = [terms for terms in TOPICS.values() if any(_holds(plain, term) for term in terms)]
    return tuple(term for terms in topics for term in terms) or (plain,)


def _holds(text: str, term: str) -> bool:
    pattern = rf"(?<!\w){re.escape(term.casefold())}(?!\w)"
    return re.search(pattern, text.casefold().replace("_", " ")) is not None
