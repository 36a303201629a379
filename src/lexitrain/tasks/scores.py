"""The scores under the name by which task files of users import them.

The documentation of 0.1.0 told users to write `from lexitrain.tasks.scores import chrf, mean, texts` in a task of
their own. Such files must go on working; new ones import these names from `lexitrain.tasks`. Nothing in the package
imports from here.
"""

from __future__ import annotations

from lexitrain.tasks.metrics.agreement import macro_f1, pearson
from lexitrain.tasks.metrics.bootstrap import Array, Score, Statistic, bootstrap, point
from lexitrain.tasks.metrics.scores import (
    Distinct,
    Sums,
    chrf,
    distinct,
    mean,
    most_frequent,
    ratio,
    texts,
)
from lexitrain.tasks.metrics.tokens import ngrams

__all__ = [
    "Array",
    "Distinct",
    "Score",
    "Statistic",
    "Sums",
    "bootstrap",
    "chrf",
    "distinct",
    "macro_f1",
    "mean",
    "most_frequent",
    "ngrams",
    "pearson",
    "point",
    "ratio",
    "texts",
]
