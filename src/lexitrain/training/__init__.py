"""Training: the loop, its checkpoints, what it says while it runs.

`train` starts a run or goes on with it. A run ends with the same bytes however often it was stopped or killed on the
way (same machine, same versions).
"""

from __future__ import annotations

from lexitrain.training.event_log import Observer, Progress, Silent
from lexitrain.training.inputs.own_recipe import run_recipe
from lexitrain.training.outcome.result import TrainingResult
from lexitrain.training.per_task import recipe_of_task
from lexitrain.training.recovery.memory_ladder import OutOfRungs
from lexitrain.training.recovery.non_finite import NotANumber
from lexitrain.training.start import train

__all__ = [
    "NotANumber",
    "Observer",
    "OutOfRungs",
    "Progress",
    "Silent",
    "TrainingResult",
    "recipe_of_task",
    "run_recipe",
    "train",
]
