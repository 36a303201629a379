"""The metric that decides, task by task, and whether the arms were asked for the same tasks.

Each task is a chance to find something: p values are adjusted for how many they are (Holm 1979). Learners choose their
tasks after they were assigned, so the difference over all tasks is what the test is about; where the arms differ in
what was asked for, it holds that difference too (Simpson's paradox), and the difference at equal shares is told beside.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from lexitrain.abtest.observations import Observations
from lexitrain.abtest.report.wording import cells
from lexitrain.abtest.statistics.effects import Effect, Looking, effect_of
from lexitrain.abtest.statistics.learner_sums import learner_sums
from lexitrain.abtest.statistics.metrics import Metric
from lexitrain.tasks import holm


@dataclass(frozen=True, slots=True)
class TaskEffect:
    """One task.

    Attributes:
        task: its name.
        shares: of each arm's exposures that have a value of the metric.
        effect: of learners who chose the task.
        adjusted_p: for one look.
        adjusted_always_valid_p: for any number of looks.
    """

    task: str
    shares: tuple[float, float]
    effect: Effect
    adjusted_p: float | None
    adjusted_always_valid_p: float | None

    def row(self, metric: Metric) -> list[str]:
        """As a row of a table: what it is, both arms, the difference, its intervals."""
        return cells(f"  {self.task}", metric, self.effect)


@dataclass(frozen=True, slots=True)
class Breakdown:
    """All tasks.

    Attributes:
        tasks: those of the test.
        equal_shares: the difference if both arms were asked for the tasks in the shares of both together; None where a
            task has no value in an arm.
        mix_p: of both arms being asked for the same tasks, adjusted, at any time; None where nobody can tell.
    """

    tasks: tuple[TaskEffect, ...]
    equal_shares: float | None
    mix_p: float | None


def breakdown(seen: Observations, metric: Metric, looking: Looking) -> Breakdown:
    """The metric by task."""
    values = metric.values(seen)
    told = ~np.isnan(values)
    arm = seen.assigned[seen.learner]
    effects: list[Effect] = []
    shares: list[tuple[float, float]] = []
    mixed: list[float | None] = []
    weights: list[float] = []
    for place in range(len(seen.tasks)):
        own = (seen.task == place).astype(np.float64)
        effects.append(effect_of(learner_sums(seen, values, task=place), looking, metric.step))
        shares.append((_mean(own[told & (arm == 0)]), _mean(own[told & (arm == 1)])))
        weights.append(_mean(own[told]))
        asked = np.where(told, own, np.nan)
        mixed.append(effect_of(learner_sums(seen, asked), looking).always_valid_p)
    once = holm([each.p for each in effects])
    always = holm([each.always_valid_p for each in effects])
    mix = [each for each in holm(mixed) if each is not None] if len(seen.tasks) > 1 else []
    return Breakdown(
        tuple(
            TaskEffect(*each)
            for each in zip(seen.tasks, shares, effects, once, always, strict=True)
        ),
        _at_equal_shares(effects, weights),
        min(mix, default=None),
    )


def _mean(values: np.ndarray) -> float:
    return float(values.mean()) if len(values) else 0.0


def _at_equal_shares(effects: list[Effect], weights: list[float]) -> float | None:
    total = 0.0
    for each, weight in zip(effects, weights, strict=True):
        first, other = (arm.value for arm in each.arms)
        if weight > 0:
            if first is None or other is None:
                return None
            total += weight * (other - first)
    return total
