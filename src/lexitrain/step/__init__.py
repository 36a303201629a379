"""One optimizer step: attention masks, output head and loss, micro-batches, optimizers.

The step is exact: however a step is laid out and cut, its gradient is that of its samples computed one by one, to
rounding (dropout 0). It costs what its layout's positions cost, and the output head only where a token is predicted.
"""

from lexitrain.step.optimizers import build_optimizer, learning_rate_at
from lexitrain.step.training_step import StepResult, TrainingStep

__all__ = ["StepResult", "TrainingStep", "build_optimizer", "learning_rate_at"]
