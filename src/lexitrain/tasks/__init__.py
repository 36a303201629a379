"""The tutor tasks: prompt, answer schema, scores, trivial predictor; one file each."""

from __future__ import annotations

from lexitrain.tasks.metrics.scores import chrf, mean, texts
from lexitrain.tasks.registry import aliases, find_task, registry, unknown_task
from lexitrain.tasks.task import SYSTEM_PROMPT, Answer, Task

__all__ = [
    "SYSTEM_PROMPT",
    "Answer",
    "Task",
    "aliases",
    "chrf",
    "find_task",
    "mean",
    "registry",
    "texts",
    "unknown_task",
]
