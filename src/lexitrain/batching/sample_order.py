"""Which samples a step trains on: a function of the seed, the epoch and the step, and of nothing else.

Each epoch draws its own permutation from a Philox generator keyed with SeedSequence([seed, epoch]), so any step can be
looked up without replaying those before it: that is what makes a resumed run equal to an undisturbed one. A task's
weight says how often each of its samples appears in an epoch; the fraction is a random subset, drawn anew each epoch.
The last step of an epoch may hold fewer samples than the others. Costs one permutation an epoch.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

from lexitrain.errors import DataError
from lexitrain.records import TRAIN, file_name

Indices = NDArray[np.int64]


@dataclass(frozen=True, slots=True)
class Cursor:
    """Where in the data a run stands: `position` steps of `epoch` (from 0) are done."""

    step: int
    epoch: int
    position: int


@dataclass
class SampleOrder:
    """The order of the samples.

    Attributes:
        samples_per_epoch: of all tasks.
        samples_of_tasks: task -> samples an epoch, as its weight makes them.

    Args:
        tasks: the task of each sample.
        seed: the recipe's.
        effective_batch: samples a step.
        epochs: passes over the data.
        weights: task -> how often its samples appear in an epoch; 1 where not given.

    Raises:
        DataError: no sample is left to train on.
    """

    tasks: Sequence[str]
    seed: int
    effective_batch: int
    epochs: int
    weights: Mapping[str, float] = field(default_factory=dict[str, float])

    def __post_init__(self) -> None:
        names = np.asarray(self.tasks)
        # A half rounds up, so that a task of one sample and weight 0.5 does not vanish.
        self._groups = [
            (members, math.floor(len(members) * self.weights.get(str(name), 1.0) + 0.5))
            for name in np.unique(names)
            if len(members := np.flatnonzero(names == name))
        ]
        self.samples_per_epoch = sum(count for _, count in self._groups)
        self.samples_of_tasks = {str(names[members[0]]): count for members, count in self._groups}
        if self.samples_per_epoch == 0:
            raise DataError(
                "There is no sample to train on.",
                where="data.task_weights" if len(names) else file_name(TRAIN),
                fix="Check the data, data.tasks and data.task_weights.",
            )
        self._drawn: tuple[int, Indices] | None = None

    @property
    def steps_per_epoch(self) -> int:
        """Steps of one epoch, the last one possibly smaller."""
        return -(-self.samples_per_epoch // self.effective_batch)

    @property
    def total_steps(self) -> int:
        """Steps of the whole run."""
        return self.steps_per_epoch * self.epochs

    def cursor(self, step: int) -> Cursor:
        """Where the run stands after `step` steps."""
        return Cursor(step, *divmod(step, self.steps_per_epoch))

    def samples(self, step: int) -> Indices:
        """Indices of the samples of step number `step`, counted from 0."""
        at = self.cursor(step)
        start = at.position * self.effective_batch
        return self._epoch(at.epoch)[start : start + self.effective_batch]

    def _epoch(self, epoch: int) -> Indices:
        """All indices of an epoch, in order."""
        drawn = self._drawn  # read once: background workers share this object
        if drawn is None or drawn[0] != epoch:
            drawn = (epoch, self._draw(epoch))
            self._drawn = drawn
        return drawn[1]

    def _draw(self, epoch: int) -> Indices:
        generator = np.random.Generator(
            np.random.Philox(np.random.SeedSequence([self.seed, epoch]))
        )
        chosen: list[Indices] = []
        for members, count in self._groups:
            whole, rest = divmod(count, len(members))
            chosen += [members] * whole
            if rest:
                chosen.append(generator.choice(members, rest, replace=False))
        return generator.permutation(np.concatenate(chosen)).astype(np.int64)


def fixed_subset(count: int, limit: int | None, seed: int) -> Indices:
    """The first `limit` of `count` indices in a shuffled order that the seed fixes; all of them without a limit."""
    if limit is None or limit >= count:
        return np.arange(count, dtype=np.int64)
    # A key of its own: the validation samples do not follow the order of any epoch.
    generator = np.random.Generator(np.random.Philox(np.random.SeedSequence([seed, 0, 1])))
    return np.sort(generator.permutation(count)[:limit]).astype(np.int64)
