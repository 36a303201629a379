"""A race over learning rate, adapter scale and samples a step: many candidates on few samples, the best go on to more.

Successive halving (Jamieson & Talwalkar 2016, arXiv:1502.07943): the candidates of a rung are ranked by validation loss
after the same number of *samples seen*, whatever their samples a step, and the best third goes on to three times as
many.

How to compare runs that have not ended is the question of such a race. Every candidate follows the schedule of its
whole run and stops at the rung's share of it; those that go on do so from their checkpoint, so nothing is computed
twice and what wins is a whole run. All are compared at the same fraction of the same course of the learning rate, none
of them decayed. The alternative is a schedule of its own for every rung, over the same samples, that decays to zero.
It ranks by how fast a candidate learns, because one with a low rate decays before it has learnt anything, and such a
candidate may be the best of all at the end. Measured on nano with twelve candidates (`benchmarks/race.py --ranking`),
Spearman's correlation with the final losses: 0.66 at an eighth and 0.87 at a quarter of the samples, against -0.13 and
0.03 for schedules of their own.

Early fractions still lean towards candidates that learn fast. Hence a third goes on and not the best alone, and no rung
lies within twice the warm-up or has fewer than `_LEAST_STEPS` steps.

The recipe itself always takes part, in the first rung and in the last: what was found is told by what it beats.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from itertools import count, product
from typing import TYPE_CHECKING, Any

from lexitrain.errors import InputError, RecipeError
from lexitrain.tuning.designs.sweep import ALPHA, changed
from lexitrain.tuning.designs.unit import Changes, Outcome, Outcomes, Stage, Unit

if TYPE_CHECKING:
    from lexitrain.recipe import Recipe

RATE, BATCH = "optimizer.learning_rate", "step.effective_batch"

_RATES = (0.25, 0.5, 1.0, 2.0)
_SCALES = (1.0, 2.0, 4.0)
_BATCHES = (0.5, 1.0, 2.0)
"""What the recipe's own values are multiplied by. Scales go up only: alpha is often set low, and what a lower one does
a lower learning rate does as well."""

_SHARES = (1 / 9, 1 / 3, 1.0)
_GOES_ON = 3
"""One in so many enters the next rung."""
_LEAST_STEPS = 10
DEFAULT_CANDIDATES = 18
LEAST_CANDIDATES = 2


@dataclass(frozen=True)
class Race:
    """The race of a study.

    Attributes:
        candidates: in the order in which they would be tried; the recipe itself, `{}`, is the first. How many of them
            take part is `entrants`.
        shares: of the samples of a whole run, rung by rung; the last one is 1.
        seed: of every run.
        entrants: candidates in the first rung.
        axes: field -> the values that it may take.
    """

    candidates: Sequence[Changes]
    shares: Sequence[float]
    seed: int
    entrants: int
    axes: Mapping[str, Sequence[Any]] = field(default_factory=dict[str, Sequence[Any]])

    @property
    def space(self) -> dict[str, Any]:
        """What is searched, as plain data; how many take part is the budget's affair."""
        return {
            "kind": "race",
            "fields": {name: list(values) for name, values in self.axes.items()},
            "shares": [round(share, 6) for share in self.shares],
            "seeds": [self.seed],
        }

    @property
    def sizes(self) -> list[int]:
        """Runs in each rung; the last one counts the recipe itself besides."""
        sizes = [max(1, -(-self.entrants // _GOES_ON**rung)) for rung in range(len(self.shares))]
        if len(sizes) > 1:
            sizes[-1] += 1
        return sizes

    @property
    def stages(self) -> list[Stage]:
        """One a rung."""
        among, before = self.candidates[: self.entrants], (0.0, *self.shares)
        stages = [
            Stage(f"rung {number}", size, share - before[number - 1], among)
            for number, (size, share) in enumerate(zip(self.sizes, self.shares, strict=True), 1)
        ]
        if len(stages) > 1:  # the recipe itself may come there from the first rung
            size, share = stages[-1].count, stages[-1].share
            mean = ((size - 1) * share + 1 - self.shares[0]) / size
            stages[-1] = replace(stages[-1], share=mean)
        return stages

    def due(self, outcomes: Outcomes) -> list[Unit]:
        """What is missing of the first rung that is not complete."""
        entering: Sequence[Changes] = self.candidates[: self.entrants]
        for rung, (share, size) in enumerate(zip(self.shares, self.sizes, strict=True)):
            last = rung == len(self.shares) - 1
            if last and rung and {} not in entering:
                entering = [*entering[: size - 1], {}]
            units = [Unit(changes, share, self.seed) for changes in entering]
            missing = [each for each in units if each.key not in outcomes]
            if missing:
                return missing
            ranked = ranking([outcomes[each.key] for each in units])
            following = 0 if last else self.sizes[rung + 1]
            entering = [each.unit.changes for each in ranked[:following]]
        return []


def ranking(outcomes: Sequence[Outcome]) -> list[Outcome]:
    """Those that have a loss, the lowest first."""
    return sorted(
        (each for each in outcomes if each.loss is not None), key=lambda each: each.loss or 0.0
    )


def race_of(recipe: Recipe, steps: int, entrants: int = DEFAULT_CANDIDATES) -> Race:
    """The race that starts from a recipe.

    Args:
        recipe: where it starts; what its limits do not allow is left out.
        steps: of its whole run.
        entrants: candidates in the first rung; as many as there are where there are fewer.

    Raises:
        InputError: fewer than two candidates.
    """
    axes: dict[str, list[Any]] = {
        RATE: _multiples(recipe.optimizer.learning_rate, _RATES),
        ALPHA: _multiples(recipe.lora.alpha, _SCALES),
        BATCH: sorted({max(1, round(recipe.step.effective_batch * each)) for each in _BATCHES}),
    }
    own = {
        RATE: recipe.optimizer.learning_rate,
        ALPHA: recipe.lora.alpha,
        BATCH: recipe.step.effective_batch,
    }
    candidates: list[Changes] = [{}]
    for point in _spread(axes):
        changes = {name: value for name, value in point.items() if value != own[name]}
        if changes and _allowed(recipe, changes):
            candidates.append(changes)
    if entrants < LEAST_CANDIDATES:
        raise InputError(
            "A race needs two candidates at least.",
            fix="Give a larger budget, or a grid with --sweep.",
        )
    least = max(_LEAST_STEPS / steps, 2 * recipe.schedule.warmup)
    shares = [share for share in _SHARES if share == 1 or share >= least]
    return Race(candidates, shares, recipe.seed, min(entrants, len(candidates)), axes)


def largest_race(race: Race, fits: Callable[[Race], bool], most: int) -> Race | None:
    """The race with the most candidates, `most` at most, for which `fits(race)` is true; None where there is none."""
    for entrants in range(min(most, len(race.candidates)), LEAST_CANDIDATES - 1, -1):
        smaller = Race(race.candidates, race.shares, race.seed, entrants, race.axes)
        if fits(smaller):
            return smaller
    return None


def _multiples(value: float, factors: Sequence[float]) -> list[float]:
    return [float(f"{value * factor:.6g}") for factor in factors]


def _allowed(recipe: Recipe, changes: Changes) -> bool:
    try:
        changed(recipe, changes)
    except RecipeError:
        return False
    return True


def _spread(axes: Mapping[str, Sequence[Any]]) -> list[dict[str, Any]]:
    """All cells of the grid, ordered so that any number of first ones is spread evenly over it.

    An additive recurrence with the powers of the root of x^4 = x + 1, which generalizes the golden ratio to three
    dimensions (Roberts 2018, "The unreasonable effectiveness of quasirandom sequences"); cells met again are skipped.
    """
    sizes = [len(values) for values in axes.values()]
    left = set(product(*(range(size) for size in sizes)))
    root = 1.2207440846057596
    found: list[dict[str, Any]] = []
    for number in count(1):
        cell = tuple(
            int((0.5 + number / root ** (place + 1)) % 1 * size) for place, size in enumerate(sizes)
        )
        if cell in left:
            left.remove(cell)
            found.append({name: axes[name][at] for name, at in zip(axes, cell, strict=True)})
        if not left:
            return found
    raise AssertionError
