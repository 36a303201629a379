"""How many samples a run sees and how many steps it has, known before its records are rendered."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from lexitrain.recipe import Recipe


def samples_of(recipe: Recipe, records: Mapping[str, int]) -> int:
    """Samples of one pass, as the tasks' weights make them.

    Args:
        recipe: of the run.
        records: task -> training records, of the tasks that are trained.
    """
    weights = recipe.data.task_weights
    return sum(math.floor(count * weights.get(task, 1.0) + 0.5) for task, count in records.items())


def steps_of(recipe: Recipe, records: Mapping[str, int], share: float = 1.0) -> int:
    """Optimizer steps after which a run has seen this share of its samples; at least one.

    Records that cannot be rendered are counted too: the run itself may have a few steps less.
    """
    a_pass = -(-samples_of(recipe, records) // recipe.step.effective_batch)
    return max(1, round(share * a_pass * recipe.schedule.epochs))
