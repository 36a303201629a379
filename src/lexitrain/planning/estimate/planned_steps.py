"""The steps of a planned run as shapes: which samples each takes, how they are laid out and cut.

Samples come from the user's records or from the shipped lengths; their order and their layout are training's own
(`lexitrain.batching`). Laying out every step of a long run would take seconds, so a spread of steps is laid out, whose
mean stands for all, and the heaviest of the run, which decide the memory. Some 2 ms a step.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from lexitrain.batching import SampleOrder, StepLayout, deal, fixed_subset
from lexitrain.models import sliding_window
from lexitrain.planning.rehearsal.cut_shape import CutShape, scored_everywhere, shapes_of
from lexitrain.planning.usual_trainer.batches import PaddedBatches

if TYPE_CHECKING:
    from lexitrain.batching import CutCost, MicroBatch
    from lexitrain.models import Architecture
    from lexitrain.planning.rehearsal.target import Target
    from lexitrain.recipe import Recipe
    from lexitrain.samples import Sample

SPREAD = 60
"""Steps whose mean stands for all; the mean is then known to about one percent."""
HEAVIEST = 4
_VALIDATION = 10

StepShape = tuple[CutShape, ...]


@dataclass(frozen=True, slots=True)
class PlannedData:
    """The samples of a planned run.

    Attributes:
        train, validation: rendered or made samples, none longer than the recipe's max_length.
        source: what they are, in words.
        exact: True where they are the user's own records in the base's own vocabulary.
        key: changes when any of them changes.
        skipped: records that do not fit max_length.
        warnings: sentences about what the base's tokenizer makes of the records.
    """

    train: Sequence[Sample]
    validation: Sequence[Sample]
    source: str
    exact: bool
    key: str
    skipped: int = 0
    warnings: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class PlannedSteps:
    """A run's steps as shapes.

    Attributes:
        spread: steps evenly spread over the run.
        shares: of each of these the cuts of each process, dealt as training deals them.
        heaviest: those with most tokens, that with most scored ones, that with the longest sample, and the one of the
            spread with the longest micro-batch.
        validation: a spread of the validation batches.
        heaviest_validation: those with most tokens, with most scored ones and with the longest sample.
        total_steps, steps_per_epoch: of the run.
        samples: training samples an epoch.
        validation_batches: forward passes of one validation.
        supervised_tokens, real_tokens: mean of a step: scored tokens, and the samples' own tokens.
    """

    spread: tuple[StepShape, ...]
    shares: tuple[tuple[StepShape, ...], ...]
    heaviest: tuple[StepShape, ...]
    validation: tuple[StepShape, ...]
    heaviest_validation: tuple[StepShape, ...]
    total_steps: int
    steps_per_epoch: int
    samples: int
    validation_batches: int
    supervised_tokens: float
    real_tokens: float

    @property
    def layout_tokens(self) -> float:
        """Positions of a step, mean."""
        return float(np.mean([sum(cut.positions for cut in step) for step in self.spread]))

    @property
    def cuts(self) -> float:
        """Micro-batches of a step, mean."""
        return float(np.mean([len(step) for step in self.spread]))


def plan_steps(
    recipe: Recipe,
    data: PlannedData,
    architecture: Architecture,
    target: Target,
    cost: CutCost,
    processes: int = 1,
) -> PlannedSteps:
    """Lay out the run of a recipe.

    Args:
        recipe: its cuts are fixed: where `token_budget` is `auto` there is none.
        data: rendered for the recipe's max_length.
        architecture: its window decides the layout, as in training.
        target: its device and attention likewise.
        cost: of a cut.
        processes: that share each step.
    """
    layout: StepLayout | PaddedBatches = StepLayout.of_recipe(
        recipe.step,
        cost,
        max_length=recipe.data.max_length,
        pad_id=0,  # only shapes are wanted
        attention=target.attention,
        device=target.device,
        window=sliding_window(architecture.config),
    )
    if target.engine == "trainer":
        assert isinstance(recipe.step.micro_batch, int)
        layout = PaddedBatches.of_layout(layout, recipe.step.micro_batch)
    # Recipes that are compared often differ in nothing that the layout depends on.
    key = repr(
        (
            (data.key, recipe.data.task_weights, recipe.seed, recipe.step.effective_batch),
            (recipe.schedule.epochs, recipe.validation.limit, layout, processes),
        )
    )
    if key not in _laid_out:
        if len(_laid_out) == _MOST_LAID_OUT:
            del _laid_out[next(iter(_laid_out))]
        _laid_out[key] = _plan_steps(recipe, data, layout, processes)
    return _laid_out[key]


_laid_out: dict[str, PlannedSteps] = {}
_MOST_LAID_OUT = 16


Layout = StepLayout | PaddedBatches


def _plan_steps(recipe: Recipe, data: PlannedData, layout: Layout, processes: int) -> PlannedSteps:
    shapes = _shapes_in(layout)
    order = SampleOrder(
        [sample.task for sample in data.train],
        recipe.seed,
        recipe.step.effective_batch,
        recipe.schedule.epochs,
        recipe.data.task_weights,
    )
    chosen = np.unique(np.linspace(0, order.total_steps - 1, SPREAD).round().astype(int))
    indices = [order.samples(int(step)) for step in chosen]
    batches = [layout.lay_out([data.train[i] for i in step], processes) for step in indices]
    spread = tuple(shapes(step) for step in batches)
    validation = _validation_batches(recipe, data)
    longest = max(spread, key=lambda step: max(cut.positions for cut in step))
    return PlannedSteps(
        spread=spread,
        shares=tuple(
            tuple(shapes(share) for share in deal(step, layout.cost, processes)) for step in batches
        ),
        heaviest=(*_heaviest(order, data.train, layout, processes), longest),
        validation=tuple(shapes(layout.lay_out(part)) for part in _spread(validation)),
        heaviest_validation=tuple(shapes(layout.lay_out(part)) for part in _largest(validation)),
        total_steps=order.total_steps,
        steps_per_epoch=order.steps_per_epoch,
        samples=order.samples_per_epoch,
        validation_batches=len(validation),
        supervised_tokens=float(np.mean([sum(b.supervised_tokens for b in s) for s in batches])),
        real_tokens=float(np.mean([sum(len(data.train[i]) for i in step) for step in indices])),
    )


def _shapes_in(layout: Layout) -> Callable[[Sequence[MicroBatch]], StepShape]:
    return scored_everywhere if isinstance(layout, PaddedBatches) else shapes_of


def _heaviest(
    order: SampleOrder, samples: Sequence[Sample], layout: Layout, processes: int
) -> tuple[StepShape, ...]:
    """The steps with most tokens, with most scored tokens and with the longest sample, of the first epochs.

    Later ones are drawn alike.
    """
    lengths: NDArray[np.int64] = np.array([len(sample) for sample in samples], dtype=np.int64)
    steps = range(min(order.total_steps, 4 * order.steps_per_epoch))
    held = [lengths[order.samples(step)] for step in steps]
    totals = np.array([each.sum() for each in held])
    longest = int(np.argmax([each.max() for each in held]))
    scored: NDArray[np.int64] = np.array([sample.supervised.sum() for sample in samples])
    answers = int(np.argmax([scored[order.samples(step)].sum() for step in steps]))
    found = {longest, answers, *np.argsort(totals, kind="stable")[-HEAVIEST:].tolist()}
    return tuple(
        _shapes_in(layout)(layout.lay_out([samples[i] for i in order.samples(step)], processes))
        for step in sorted(found)
    )


def _validation_batches(recipe: Recipe, data: PlannedData) -> list[list[Sample]]:
    """The batches that a validation goes through."""
    chosen = fixed_subset(len(data.validation), recipe.validation.limit, recipe.seed)
    size = recipe.step.effective_batch
    return [
        [data.validation[i] for i in chosen[start : start + size]]
        for start in range(0, len(chosen), size)
    ]


def _spread(batches: list[list[Sample]]) -> list[list[Sample]]:
    if len(batches) <= _VALIDATION:
        return batches
    return [batches[int(i)] for i in np.linspace(0, len(batches) - 1, _VALIDATION).round()]


def _largest(batches: list[list[Sample]]) -> list[list[Sample]]:
    """Those with most tokens, with most scored ones and with the longest sample."""
    if not batches:
        return []
    measures: tuple[Callable[[list[Sample]], int], ...] = (
        lambda batch: sum(map(len, batch)),
        lambda batch: int(sum(each.supervised.sum() for each in batch)),
        lambda batch: max(map(len, batch)),
    )
    found = {max(range(len(batches)), key=lambda i: measure(batches[i])) for measure in measures}
    return [batches[i] for i in sorted(found)]
