"""Vocabulary: the CEFR level of a word or a sentence, with its key words.

Scores: accuracy, macro-F1, the share of levels at most one step off, and Cohen's kappa with quadratic weights. An
invalid answer is wrong in all four; in kappa it counts as the level farthest from the true one. Details: the share of
each level that was found, and the confusion matrix. Key words are learnt and not scored: corpora disagree on what a key
word is.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, ClassVar

from lexitrain.tasks.metrics.agreement import Confusion, confusion, macro_f1, quadratic_kappa
from lexitrain.tasks.metrics.bootstrap import Statistic
from lexitrain.tasks.metrics.scores import mean, most_frequent
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
    score_names = frozenset({"accuracy", "macro_f1", "within_one_level", "quadratic_kappa"})
    schema: ClassVar[Schema] = {
        "type": "object",
        "properties": {
            "level": {"type": "string", "enum": list(LEVELS)},
            "key_words": {"type": "array", "items": {"type": "string"}, "default": []},
        },
    }
    targets: ClassVar[Targets] = {"accuracy": (">", 0.90), "macro_f1": (">", 0.89)}

    primary = "accuracy"
    scored_by: ClassVar = {"level": ("accuracy", "macro_f1")}
    english = True

    def statistics(
        self, records: Sequence[Record], answers: Sequence[Answer | None]
    ) -> dict[str, Statistic]:
        actual, predicted = self._levels(records, answers)
        truth = [LEVELS.index(level) for level in actual]
        said = [
            (0 if place >= len(LEVELS) / 2 else len(LEVELS) - 1)
            if level is None
            else LEVELS.index(level)
            for level, place in zip(predicted, truth, strict=True)
        ]
        near = [
            level is not None and abs(guess - place) <= 1
            for level, guess, place in zip(predicted, said, truth, strict=True)
        ]
        return {
            "accuracy": mean([a == b for a, b in zip(predicted, actual, strict=True)]),
            "macro_f1": macro_f1(predicted, actual),
            "within_one_level": mean(near),
            "quadratic_kappa": quadratic_kappa(said, truth, len(LEVELS)),
        }

    def details(
        self, records: Sequence[Record], answers: Sequence[Answer | None]
    ) -> dict[str, dict[str, Statistic]]:
        actual, predicted = self._levels(records, answers)
        right = [a == b for a, b in zip(predicted, actual, strict=True)]
        return {
            "recall by level": {
                level: mean(right, [truth == level for truth in actual])
                for level in LEVELS
                if level in actual
            }
        }

    def confusion(
        self, records: Sequence[Record], answers: Sequence[Answer | None]
    ) -> Confusion | None:
        actual, predicted = self._levels(records, answers)
        return confusion(predicted, actual, LEVELS)

    def _levels(
        self, records: Sequence[Record], answers: Sequence[Answer | None]
    ) -> tuple[list[str], list[str | None]]:
        """True levels and answered ones; None for an invalid answer."""
        actual = [str(answer["level"]) for answer in self.references(records)]
        return actual, [None if answer is None else str(answer["level"]) for answer in answers]

    def trivial(self, train_records: Sequence[Record]) -> Predictor:
        """Always the most frequent level."""
        level = most_frequent(answer["level"] for answer in self.references(train_records))
        return lambda _: {"level": level, "key_words": []}
