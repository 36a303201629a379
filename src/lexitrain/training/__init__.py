"""Training: the loop, its checkpoints, what it says while it runs.

`train` starts a run or goes on with it. A run ends with the same bytes however often it was stopped or killed on the
way (same machine, same versions).
"""

from __future__ import annotations

from lexitrain.training.before.built_step import built_step
from lexitrain.training.before.disk_room import DiskRoom, require_disk_room
from lexitrain.training.before.real_samples import two_samples
from lexitrain.training.before.run_folder import require_run_folder
from lexitrain.training.event_log import Observer, Progress, Silent
from lexitrain.training.inputs.own_recipe import run_recipe
from lexitrain.training.outcome.result import TrainingResult
from lexitrain.training.per_task import recipe_of_task
from lexitrain.training.recovery.memory_ladder import OutOfRungs
from lexitrain.training.recovery.mirror_restore import require_place
from lexitrain.training.recovery.non_finite import NotANumber
from lexitrain.training.recovery.notebook_machine import NotebookMachine, this_machine, with_mirror
from lexitrain.training.start import train

__all__ = [
    "DiskRoom",
    "NotANumber",
    "NotebookMachine",
    "Observer",
    "OutOfRungs",
    "Progress",
    "Silent",
    "TrainingResult",
    "built_step",
    "recipe_of_task",
    "require_disk_room",
    "require_place",
    "require_run_folder",
    "run_recipe",
    "this_machine",
    "train",
    "two_samples",
    "with_mirror",
]
