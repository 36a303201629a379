"""Training: the loop, its checkpoints, what it says while it runs.

`train` starts a run or goes on with it. A run ends with the same bytes however often it was stopped or killed on the
way (same machine, same versions).
"""

from __future__ import annotations

from lexitrain.training.event_log import Observer, Progress, Silent
from lexitrain.training.inputs.own_recipe import run_recipe
from lexitrain.training.result import TrainingResult
from lexitrain.training.start import train

__all__ = [
    "Observer",
    "Progress",
    "Silent",
    "TrainingResult",
    "run_recipe",
    "train",
]
