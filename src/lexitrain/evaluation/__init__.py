"""Evaluation of a run, an adapter or a base: generation, scores with intervals, what they are worth.

Costs a generated answer a record; everything else is milliseconds.
"""

from __future__ import annotations

from lexitrain.evaluation.answering import Answerer, Prediction, answer, tasks_of
from lexitrain.evaluation.conversations.asked_conversations import (
    AskedConversations,
    read_conversations,
)
from lexitrain.evaluation.conversations.conversation_scores import ConversationEvaluation
from lexitrain.evaluation.generation import (
    Decoding,
    answer_gbnf,
    asked_gbnf,
    chosen_gbnf,
    schema_of,
)
from lexitrain.evaluation.held_out import HeldOut
from lexitrain.evaluation.report import EvaluationReport, evaluate
from lexitrain.evaluation.scoring import Evaluation
from lexitrain.evaluation.sources.api_requests import addressed, is_this_machine
from lexitrain.evaluation.sources.gguf_model import answer_context, plain_text, with_adapter
from lexitrain.evaluation.sources.located_model import (
    LoadedModel,
    LocatedModel,
    load_model,
    locate_model,
    require_model,
)
from lexitrain.evaluation.sources.remote_model import RemoteModel, chat_body, said_in
from lexitrain.evaluation.task_scores import TaskEvaluation
from lexitrain.evaluation.tutor import Tutor

__all__ = [
    "Answerer",
    "AskedConversations",
    "ConversationEvaluation",
    "Decoding",
    "Evaluation",
    "EvaluationReport",
    "HeldOut",
    "LoadedModel",
    "LocatedModel",
    "Prediction",
    "RemoteModel",
    "TaskEvaluation",
    "Tutor",
    "addressed",
    "answer",
    "answer_context",
    "answer_gbnf",
    "asked_gbnf",
    "chat_body",
    "chosen_gbnf",
    "evaluate",
    "is_this_machine",
    "load_model",
    "locate_model",
    "plain_text",
    "read_conversations",
    "require_model",
    "said_in",
    "schema_of",
    "tasks_of",
    "with_adapter",
]
