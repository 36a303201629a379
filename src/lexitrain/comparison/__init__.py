"""Two or more models on the same records: which is better, by how much, how sure, and what each costs.

Costs one evaluation a model; the statistics take seconds.
"""

from __future__ import annotations

from lexitrain.comparison.compare import ModelComparison, compare

__all__ = ["ModelComparison", "compare"]
