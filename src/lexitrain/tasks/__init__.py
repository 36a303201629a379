"""The tutor tasks: prompt, answer schema, scores, trivial predictor; one file each."""

from __future__ import annotations

from lexitrain.tasks.registry import aliases, registry
from lexitrain.tasks.task import SYSTEM_PROMPT, Answer, Task

__all__ = ["SYSTEM_PROMPT", "Answer", "Task", "aliases", "registry"]
