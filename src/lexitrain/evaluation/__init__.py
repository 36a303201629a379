"""Evaluation of a run, an adapter or a base: generation, scores with intervals, what they are worth.

Costs a generated answer a record; everything else is milliseconds.
"""

from __future__ import annotations

from lexitrain.evaluation.answering import Answerer, Prediction, answer
from lexitrain.evaluation.conversations.asked_conversations import (
    AskedConversations,
    read_conversations,
)
from lexitrain.evaluation.conversations.conversation_scores import ConversationEvaluation
from lexitrain.evaluation.generation import Decoding
from lexitrain.evaluation.held_out import HeldOut
from lexitrain.evaluation.report import EvaluationReport, evaluate
from lexitrain.evaluation.scoring import Evaluation
from lexitrain.evaluation.sources.located_model import require_model
from lexitrain.evaluation.task_scores import TaskEvaluation

__all__ = [
    "Answerer",
    "AskedConversations",
    "ConversationEvaluation",
    "Decoding",
    "Evaluation",
    "EvaluationReport",
    "HeldOut",
    "Prediction",
    "TaskEvaluation",
    "answer",
    "evaluate",
    "read_conversations",
    "require_model",
]
