"""The tutor tasks: prompt, answer schema, scores, trivial predictor; one file each."""

from __future__ import annotations

from lexitrain.tasks.metrics.bootstrap import Score, bootstrap
from lexitrain.tasks.metrics.scores import (
    chrf,
    distinct,
    macro_f1,
    mean,
    most_frequent,
    pearson,
    pooled_mean,
    texts,
)
from lexitrain.tasks.own_tasks import own_tasks
from lexitrain.tasks.registry import OWN_TASK, aliases, find_task, registry, unknown_task
from lexitrain.tasks.schema import Schema
from lexitrain.tasks.task import Answer, Message, Targets, Task

__all__ = [
    "OWN_TASK",
    "Answer",
    "Message",
    "Schema",
    "Score",
    "Targets",
    "Task",
    "aliases",
    "bootstrap",
    "chrf",
    "distinct",
    "find_task",
    "macro_f1",
    "mean",
    "most_frequent",
    "own_tasks",
    "pearson",
    "pooled_mean",
    "registry",
    "texts",
    "unknown_task",
]
