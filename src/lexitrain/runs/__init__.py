"""The run folder: a typed read and write for each file in it, its checkpoints, and what became of the runs in a folder.

Nothing here loads torch, so that `lexitrain runs` is quick.
"""

from __future__ import annotations

from lexitrain.runs.checkpoint_names import MANIFEST, is_best, step_of
from lexitrain.runs.checkpoints import (
    BrokenCheckpoint,
    Checkpoint,
    Checkpoints,
    ReportBroken,
    read_checkpoint,
)
from lexitrain.runs.comparable import best_validation, forgets_best, validation_losses
from lexitrain.runs.disk_errors import storage_errors
from lexitrain.runs.first_day import first_day
from lexitrain.runs.folder import BUILD_JOURNAL, DataSummary, Run
from lexitrain.runs.journals import Event, Metrics, event_now, training_seconds
from lexitrain.runs.listing import RunSummary, list_runs, state_of_run, summarize
from lexitrain.runs.mirror_places import (
    DataFacts,
    has_place,
    kept_folder,
    lies_apart,
    lies_in_mirror,
)
from lexitrain.runs.read_only import ReadOnlyRun
from lexitrain.runs.task_copies import keep_tasks, task_sources
from lexitrain.runs.upkeep import Pruned, prune_run, verify_run

__all__ = [
    "BUILD_JOURNAL",
    "MANIFEST",
    "BrokenCheckpoint",
    "Checkpoint",
    "Checkpoints",
    "DataFacts",
    "DataSummary",
    "Event",
    "Metrics",
    "Pruned",
    "ReadOnlyRun",
    "ReportBroken",
    "Run",
    "RunSummary",
    "best_validation",
    "event_now",
    "first_day",
    "forgets_best",
    "has_place",
    "is_best",
    "keep_tasks",
    "kept_folder",
    "lies_apart",
    "lies_in_mirror",
    "list_runs",
    "prune_run",
    "read_checkpoint",
    "state_of_run",
    "step_of",
    "storage_errors",
    "summarize",
    "task_sources",
    "training_seconds",
    "validation_losses",
    "verify_run",
]
