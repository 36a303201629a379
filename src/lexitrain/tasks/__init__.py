"""The tutor tasks: prompt, answer schema, scores, trivial predictor; one file each."""

from __future__ import annotations

from lexitrain.tasks.metrics.agreement import Confusion, macro_f1, pearson
from lexitrain.tasks.metrics.bootstrap import (
    Score,
    Statistic,
    bootstrap,
    t_distribution,
    t_quantile,
)
from lexitrain.tasks.metrics.differences import (
    POWER,
    Difference,
    NoWorse,
    difference,
    holm,
    records_in_words,
)
from lexitrain.tasks.metrics.english import may_be_english
from lexitrain.tasks.metrics.scores import (
    chrf,
    distinct,
    mean,
    most_frequent,
    pooled_mean,
    texts,
)
from lexitrain.tasks.own_tasks import own_tasks
from lexitrain.tasks.registry import (
    OWN_TASK,
    aliases,
    find_task,
    own_targets,
    registry,
    unknown_task,
)
from lexitrain.tasks.schema import Schema, loads_strict, schema_problem
from lexitrain.tasks.task import Answer, Message, Predictor, Targets, Task

__all__ = [
    "OWN_TASK",
    "POWER",
    "Answer",
    "Confusion",
    "Difference",
    "Message",
    "NoWorse",
    "Predictor",
    "Schema",
    "Score",
    "Statistic",
    "Targets",
    "Task",
    "aliases",
    "bootstrap",
    "chrf",
    "difference",
    "distinct",
    "find_task",
    "holm",
    "loads_strict",
    "macro_f1",
    "may_be_english",
    "mean",
    "most_frequent",
    "own_targets",
    "own_tasks",
    "pearson",
    "pooled_mean",
    "records_in_words",
    "registry",
    "schema_problem",
    "t_distribution",
    "t_quantile",
    "texts",
    "unknown_task",
]
