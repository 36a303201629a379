"""Evaluation of a run, an adapter or a base: generation, scores with intervals, what they are worth.

Costs a generated answer a record; everything else is milliseconds.
"""

from __future__ import annotations

from lexitrain.evaluation.document import document, save
from lexitrain.evaluation.evaluation import Evaluation, TaskEvaluation, ask, evaluate
from lexitrain.evaluation.generation import generate
from lexitrain.evaluation.held_out import HeldOut, read_held_out
from lexitrain.evaluation.located_model import Loaded, Subject, load, locate

__all__ = [
    "Evaluation",
    "HeldOut",
    "Loaded",
    "Subject",
    "TaskEvaluation",
    "ask",
    "document",
    "evaluate",
    "generate",
    "load",
    "locate",
    "read_held_out",
    "save",
]
