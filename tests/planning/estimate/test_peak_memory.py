"""The planned peak: never under that of any cut of the run, however few of them are rehearsed."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from lexitrain.batching import CutCost, SampleOrder, StepLayout
from lexitrain.models.architecture import architecture_of
from lexitrain.planning.estimate.peak_memory import Candidate, peak_memory, searched_peak
from lexitrain.planning.estimate.planned_data import mixture_data
from lexitrain.planning.estimate.planned_steps import plan_steps
from lexitrain.planning.rehearsal.cut_shape import CutShape, shapes_of
from lexitrain.planning.rehearsal.rehearse import rehearse
from lexitrain.planning.rehearsal.rehearsed_step import Memory
from lexitrain.planning.rehearsal.target import Target
from lexitrain.recipe.yaml_file import load_recipe

NANO = architecture_of("nano")
NOTHING = Memory(1000, 0, 0, 0, 0, 0, 0, 0, 0)


def random_cuts(seed: int, *, by_blocks: bool, count: int = 14) -> list[CutShape]:
    """Cuts of a row with any share of scored positions, by blocks in any division."""
    rng = np.random.default_rng(seed)
    cuts: list[CutShape] = []
    for _ in range(count):
        length = 16 * int(rng.integers(4, 50))
        scored = int(rng.integers(1, length))
        blocks: tuple[tuple[int, int], ...] = ()
        if by_blocks:
            ends = np.unique([*rng.integers(1, length, int(rng.integers(1, 8))), length]).tolist()
            starts = [0, *ends[:-1]]
            blocks = tuple(
                (end - start, int(rng.integers(end - start, end + 1)))
                for start, end in zip(starts, ends, strict=True)
            )
        cuts.append(CutShape(1, length, scored, blocks))
    return cuts


@pytest.mark.parametrize("seed", range(2))
@pytest.mark.parametrize(
    ("capability", "overrides"),
    [
        ((7, 5), []),
        (None, []),
        ((7, 5), ["step.gradient_checkpointing=always", "step.head_chunk=128"]),
    ],
)
def test_no_cut_of_a_run_needs_more_than_was_planned(
    seed: int, capability: tuple[int, int] | None, overrides: list[str]
):
    recipe = load_recipe("fast", ["model.base=nano", *overrides])
    target = Target.of("auto", capability)
    cuts = random_cuts(seed, by_blocks=capability is None)
    planned = peak_memory(NANO, recipe, target, [cuts[:4], cuts[4:]])
    peaks = [rehearse(NANO, recipe, target, (cut, cut)).memory.peak for cut in cuts]
    assert max(peaks) <= 1.015 * planned.peak
    assert planned.peak <= max(peaks)  # of a cut that is there, not of one that was made up


def test_no_cut_of_a_planned_run_needs_more():
    """The cuts of all its steps, those included that were not laid out for the plan."""
    recipe = load_recipe("fast", ["model.base=nano", "schedule.epochs=1"])
    target = Target.of("auto", (7, 5))
    data = mixture_data(2400)(recipe)
    cost = CutCost.of_shape(NANO.decoder)
    steps = plan_steps(recipe, data, NANO, target, cost)
    planned = peak_memory(NANO, recipe, target, (*steps.spread, *steps.heaviest))
    layout = StepLayout.of_recipe(
        recipe.step, cost, max_length=512, pad_id=0, attention="dense", device="cuda"
    )
    tasks = [sample.task for sample in data.train]
    order = SampleOrder(tasks, recipe.seed, recipe.step.effective_batch, 1, {})
    assert order.total_steps > len(steps.spread)
    cuts = {
        cut
        for step in range(order.total_steps)
        for cut in shapes_of(layout.lay_out([data.train[i] for i in order.samples(step)]))
    }
    heaviest = sorted(cuts, key=lambda cut: 2 * cut.positions + cut.scored)[-8:]
    for cut in {*heaviest, max(cuts, key=lambda cut: cut.scored)}:
        assert rehearse(NANO, recipe, target, (cut, cut)).memory.peak <= 1.02 * planned.peak


def test_few_are_rehearsed_and_one_between_the_extremes_is_found():
    """Second in positions and in scored ones, first in their sum."""
    asked: list[Candidate] = []

    def memory_of(each: Candidate) -> Memory:
        asked.append(each)
        return replace(
            NOTHING, activations=10 * each.cut.positions, logits=20 * min(each.cut.scored, 512)
        )

    between = CutShape(1, 900, 450)
    cuts = [CutShape(1, 1000, 10), CutShape(1, 500, 500), between]
    cuts += [CutShape(1, 100 + number, number) for number in range(1, 90)]
    found = searched_peak([Candidate(cut, later=True) for cut in cuts], memory_of, 512)
    assert found.peak == 1000 + 9000 + 9000
    assert Candidate(between, later=True) in asked
    assert len(asked) <= 4


def test_a_cut_that_comes_later_is_planned_with_full_gradients():
    recipe = load_recipe("demo", [])
    target = Target.of("auto", None)
    # So many scored positions that the head needs most, before there is any gradient.
    cut = CutShape(1, 256, 200, ((256, 256),))
    alone = peak_memory(NANO, recipe, target, [(cut,)])
    after = peak_memory(NANO, recipe, target, [(CutShape(1, 64, 4, ((64, 64),)), cut)])
    assert alone.gradients == 0
    assert after.peak == alone.peak + after.gradients
    assert after.gradients > 0
