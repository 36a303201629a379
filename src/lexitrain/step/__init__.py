"""One optimizer step: attention masks, output head and loss, micro-batches, optimizers, processes.

The step is exact: however a step is laid out and cut, its gradient is that of its samples computed one by one, to
rounding (dropout 0). It costs what its layout's positions cost, and the output head only where a token is predicted.
"""

from __future__ import annotations

from lexitrain.step.bitsandbytes_check import bitsandbytes_uses, require_bitsandbytes
from lexitrain.step.host_memory import keep_freed_memory
from lexitrain.step.loss_scale import LossScale
from lexitrain.step.optimizers import build_optimizer, learning_rate_at
from lexitrain.step.out_of_memory import attempt, release_memory
from lexitrain.step.plain_loss import layout_loss, require_layout_of, require_plain_loss
from lexitrain.step.processes import Processes, joined_processes
from lexitrain.step.seeding import seed_step
from lexitrain.step.training_step import StepResult, TrainingStep, set_gradient_checkpointing
from lexitrain.step.update.flat_optimizer import FlatOptimizer

__all__ = [
    "FlatOptimizer",
    "LossScale",
    "Processes",
    "StepResult",
    "TrainingStep",
    "attempt",
    "bitsandbytes_uses",
    "build_optimizer",
    "joined_processes",
    "keep_freed_memory",
    "layout_loss",
    "learning_rate_at",
    "release_memory",
    "require_bitsandbytes",
    "require_layout_of",
    "require_plain_loss",
    "seed_step",
    "set_gradient_checkpointing",
]
