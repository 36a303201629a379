"""Fluency: how natural a sentence is, from 0 to 1, with a reason.

Scores: mean absolute and root mean square error, Pearson's r and Spearman's rho, and how calibrated the answers are:
`bias`, their mean excess over the true scores, and the slope of the true scores on them. In the errors an invalid
answer counts as the score farthest from the true one (0 or 1), the worst that could have been said. It names no score
that could correlate with anything or be biased: the others are over the valid answers, and not defined where there are
none; how many there are is a score of its own, the schema validity. Details: the mean excess by what was answered.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, ClassVar

import numpy as np
from numpy.typing import NDArray

from lexitrain.tasks.metrics.agreement import (
    calibration_slope,
    pearson,
    root_mean_square,
    spearman,
)
from lexitrain.tasks.metrics.bootstrap import Array, Statistic
from lexitrain.tasks.metrics.scores import mean
from lexitrain.tasks.schema import Schema
from lexitrain.tasks.task import Answer, Predictor, Targets, Task

if TYPE_CHECKING:
    from lexitrain.records import Record

_BINS = 5


class Fluency(Task):
    """Scores a sentence."""

    name = "fluency_scoring"
    short = "fluency"
    maximum_answer_tokens = 128
    score_names = frozenset({"mae", "rmse", "pearson", "spearman", "bias", "calibration_slope"})
    schema: ClassVar[Schema] = {
        "type": "object",
        "properties": {
            "fluency_score": {"type": "number", "minimum": 0.0, "maximum": 1.0},
            "reasoning": {"type": "string", "default": ""},
        },
    }
    targets: ClassVar[Targets] = {"mae": ("<", 0.12), "pearson": (">", 0.90)}
    lower_is_better = frozenset({"mae", "rmse"})
    neither_is_better = frozenset({"bias", "calibration_slope"})
    primary = "mae"
    scored_by: ClassVar = {"fluency_score": ("mae", "pearson")}
    english = True

    def statistics(
        self, records: Sequence[Record], answers: Sequence[Answer | None]
    ) -> dict[str, Statistic]:
        actual, predicted, valid = self._scores(records, answers)
        return {
            "mae": mean(np.abs(predicted - actual)),
            "rmse": root_mean_square(predicted - actual),
            "pearson": pearson(predicted, actual, valid),
            "spearman": spearman(predicted, actual, valid),
            "bias": mean(predicted - actual, valid),
            "calibration_slope": calibration_slope(predicted, actual, valid),
        }

    def details(
        self, records: Sequence[Record], answers: Sequence[Answer | None]
    ) -> dict[str, dict[str, Statistic]]:
        actual, predicted, valid = self._scores(records, answers)
        fifth = np.minimum((predicted * _BINS).astype(int), _BINS - 1)
        if not valid.any():
            return {}
        return {
            "mean excess by answered score": {
                f"{place / _BINS:.1f} to {(place + 1) / _BINS:.1f}": mean(
                    predicted - actual, valid & (fifth == place)
                )
                for place in range(_BINS)
                if (valid & (fifth == place)).any()
            }
        }

    def _scores(
        self, records: Sequence[Record], answers: Sequence[Answer | None]
    ) -> tuple[Array, Array, NDArray[np.bool_]]:
        """True scores, answered ones, and which answers are valid, `[N]` each."""
        actual = np.array([answer["fluency_score"] for answer in self.references(records)])
        predicted = np.array(
            [
                float(truth < 0.5) if answer is None else float(answer["fluency_score"])
                for answer, truth in zip(answers, actual, strict=True)
            ]
        )
        return actual, predicted, np.array([answer is not None for answer in answers])

    def trivial(self, train_records: Sequence[Record]) -> Predictor:
        """Always the mean score."""
        scores = [float(answer["fluency_score"]) for answer in self.references(train_records)]
        average = round(sum(scores) / len(scores), 4)
        return lambda _: {"fluency_score": average, "reasoning": ""}
