"""Fluency: how natural a sentence is, from 0 to 1, with a reason.

Scores: mean absolute error and Pearson's r. In the error an invalid answer counts as the score farthest from the true
one (0 or 1), the worst that could have been said. It names no score that could correlate with anything: r is over the
valid answers, and not defined where there are none; how many there are is a score of its own, the JSON validity.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, ClassVar

import numpy as np

from lexitrain.tasks.metrics.bootstrap import Statistic
from lexitrain.tasks.metrics.scores import mean, pearson
from lexitrain.tasks.schema import Schema
from lexitrain.tasks.task import Answer, Predictor, Targets, Task

if TYPE_CHECKING:
    from lexitrain.records import Record


class Fluency(Task):
    """Scores a sentence."""

    name = "fluency_scoring"
    short = "fluency"
    maximum_answer_tokens = 128
    schema: ClassVar[Schema] = {
        "type": "object",
        "properties": {
            "fluency_score": {"type": "number", "minimum": 0.0, "maximum": 1.0},
            "reasoning": {"type": "string", "default": ""},
        },
    }
    targets: ClassVar[Targets] = {"mae": ("<", 0.12), "pearson": (">", 0.90)}
    lower_is_better = frozenset({"mae"})

    def statistics(
        self, records: Sequence[Record], answers: Sequence[Answer | None]
    ) -> dict[str, Statistic]:
        actual = np.array([answer["fluency_score"] for answer in self.references(records)])
        predicted = np.array(
            [
                float(truth < 0.5) if answer is None else answer["fluency_score"]
                for answer, truth in zip(answers, actual, strict=True)
            ]
        )
        valid = [answer is not None for answer in answers]
        return {
            "mae": mean(np.abs(predicted - actual)),
            "pearson": pearson(predicted, actual, valid),
        }

    def trivial(self, train_records: Sequence[Record]) -> Predictor:
        """Always the mean score."""
        scores = [float(answer["fluency_score"]) for answer in self.references(train_records)]
        average = round(sum(scores) / len(scores), 4)
        return lambda _: {"fluency_score": average, "reasoning": ""}
