"""Two or more models on the same records: which is better, by how much, how sure, and what each costs.

Costs one evaluation a model; the statistics take seconds.
"""

from __future__ import annotations

from lexitrain.comparison.compare import MARGIN, ModelComparison, compare, compared
from lexitrain.comparison.paired import PairedTask, paired_tasks

__all__ = ["MARGIN", "ModelComparison", "PairedTask", "compare", "compared", "paired_tasks"]
