"""Vocabulary: the CEFR level of a word or a sentence, with its key words.

Scores: accuracy, macro-F1, and the share of levels at most one step off. An invalid answer is wrong in all three. Key
words are learnt and not scored: corpora disagree on what a key word is.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, ClassVar

from lexitrain.tasks.metrics.bootstrap import Statistic
from lexitrain.tasks.metrics.scores import macro_f1, mean, most_frequent
from lexitrain.tasks.schema import Schema
from lexitrain.tasks.task import Answer, Predictor, Targets, Task

if TYPE_CHECKING:
    from lexitrain.records import Record

LEVELS = ("A1", "A2", "B1", "B2", "C1", "C2")


class Vocabulary(Task):
    """Classifies by CEFR level."""

    name = "vocabulary_classification"
    short = "vocabulary"
    maximum_answer_tokens = 128
    schema: ClassVar[Schema] = {
        "type": "object",
        "properties": {
            "level": {"type": "string", "enum": list(LEVELS)},
            "key_words": {"type": "array", "items": {"type": "string"}, "default": []},
        },
    }
    targets: ClassVar[Targets] = {"accuracy": (">", 0.90), "macro_f1": (">", 0.89)}

    def statistics(
        self, records: Sequence[Record], answers: Sequence[Answer | None]
    ) -> dict[str, Statistic]:
        actual: list[str] = [answer["level"] for answer in self.references(records)]
        predicted = [None if answer is None else str(answer["level"]) for answer in answers]
        steps = [
            len(LEVELS) if guess is None else abs(LEVELS.index(guess) - LEVELS.index(truth))
            for guess, truth in zip(predicted, actual, strict=True)
        ]
        return {
            "accuracy": mean([step == 0 for step in steps]),
            "macro_f1": macro_f1(predicted, actual),
            "within_one_level": mean([step <= 1 for step in steps]),
        }

    def trivial(self, train_records: Sequence[Record]) -> Predictor:
        """Always the most frequent level."""
        level = most_frequent(answer["level"] for answer in self.references(train_records))
        return lambda _: {"level": level, "key_words": []}
