"""Evaluation of a run, an adapter or a base: generation, scores with intervals, what they are worth.

Costs a generated answer a record; everything else is milliseconds.
"""

from __future__ import annotations

from lexitrain.evaluation.answering import Answerer, Prediction, answer
from lexitrain.evaluation.evaluation import Evaluation, TaskEvaluation, evaluate_records
from lexitrain.evaluation.held_out import HeldOut, read_held_out
from lexitrain.evaluation.located_model import (
    LoadedModel,
    LocatedModel,
    load_model,
    locate_model,
)
from lexitrain.evaluation.report import EvaluationReport, evaluate

__all__ = [
    "Answerer",
    "Evaluation",
    "EvaluationReport",
    "HeldOut",
    "LoadedModel",
    "LocatedModel",
    "Prediction",
    "TaskEvaluation",
    "answer",
    "evaluate",
    "evaluate_records",
    "load_model",
    "locate_model",
    "read_held_out",
]
