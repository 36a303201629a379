"""The usual trainer, rehearsed: against the peak of a real one, and what must hold on a device that is not here."""

from __future__ import annotations

import json
from dataclasses import replace

import pytest
from benchmarks.compare.competitors import COMPETITORS
from benchmarks.compare.work import Work
from benchmarks.usual_trainer import NAMES, RESULT, foreseen, measured

from lexitrain.errors import InputError
from lexitrain.models.architecture import architecture_of
from lexitrain.planning.rehearsal.cut_shape import CutShape
from lexitrain.planning.rehearsal.rehearse import rehearse
from lexitrain.planning.rehearsal.rehearsed_step import ARITHMETIC, Rehearsal
from lexitrain.planning.rehearsal.target import Target
from lexitrain.recipe.schema import Recipe
from lexitrain.recipe.yaml_file import load_recipe

ON_T4 = Target("cuda", "fp16", "dense", "trainer")
BASE = "Qwen/Qwen2.5-0.5B"
VOCABULARY = 151_936


def rehearsed(recipe: Recipe, target: Target, *cuts: CutShape) -> Rehearsal:
    return rehearse(architecture_of(BASE), recipe, target, cuts)


@pytest.mark.slow
@pytest.mark.parametrize("name", NAMES)
def test_the_foreseen_peak_is_that_of_a_real_trainer(name: str):
    work = Work(shape="tiny", steps=2, data="generated")
    assert foreseen(work, COMPETITORS[name]) == pytest.approx(measured(work, name), rel=0.02)


def test_the_saved_peaks_are_within_five_percent():
    rows = json.loads(RESULT.read_text(encoding="utf-8"))["rows"]
    assert len({(row["shape"], row["configuration"]) for row in rows}) == 6
    for row in rows:
        assert abs(row["foreseen_bytes"] / row["measured_bytes"] - 1) <= 0.05


def test_logits_of_all_positions_are_held_three_times_in_fp32():
    notebook = load_recipe("notebook")
    memory = rehearsed(notebook, ON_T4, CutShape(4, 512, 2048)).memory
    assert memory.logits == pytest.approx(3 * 4 * 2048 * VOCABULARY, rel=0.01)


def test_what_is_scored_changes_nothing_and_every_position_costs():
    notebook = load_recipe("notebook")
    few, all_of_them = (rehearsed(notebook, ON_T4, CutShape(4, 512, n)) for n in (8, 2048))
    assert few == all_of_them
    shorter = rehearsed(notebook, ON_T4, CutShape(4, 256, 1024))
    assert shorter.memory.logits * 2 == pytest.approx(few.memory.logits, rel=0.01)


def test_a_base_in_four_bits_has_its_embeddings_and_norms_in_fp32():
    notebook = load_recipe("notebook")
    cut = CutShape(1, 64, 64)
    theirs = rehearsed(notebook, ON_T4, cut).memory.weights
    ours = rehearsed(notebook, replace(ON_T4, engine="lexitrain"), cut).memory.weights
    norms_and_biases = 49 * 896 + 24 * (896 + 2 * 128)
    assert theirs - ours == 2 * (VOCABULARY * 896 + norms_and_biases)


def test_its_arithmetic_is_that_of_our_step_on_the_same_padded_rows():
    notebook = load_recipe("notebook", ["model.quantization=none", "lora.dropout=0"])
    cut = CutShape(4, 512, 2048)

    def arithmetic(target: Target) -> float:
        works = rehearsed(notebook, target, cut).operations
        return sum(work.flops for work in works if work.kind in ARITHMETIC)

    assert arithmetic(ON_T4) == pytest.approx(
        arithmetic(replace(ON_T4, engine="lexitrain")), rel=0.02
    )


def test_it_starts_more_operations_than_our_step():
    plain = ["step.gradient_checkpointing=never", "model.quantization=none", "lora.dropout=0"]
    notebook = load_recipe("notebook", plain)
    cut = CutShape(4, 512, 2048)

    def started(target: Target) -> float:
        return sum(work.launches for work in rehearsed(notebook, target, cut).operations)

    assert started(ON_T4) > 2 * started(replace(ON_T4, engine="lexitrain"))


def test_recomputation_saves_memory_and_costs_arithmetic():
    kept, again = (
        rehearsed(
            load_recipe("notebook", [f"step.gradient_checkpointing={each}"]),
            ON_T4,
            CutShape(4, 512, 2048),
        )
        for each in ("never", "always")
    )
    assert again.memory.activations < kept.memory.activations / 3

    def arithmetic(of: Rehearsal) -> float:
        return sum(work.flops for work in of.operations if work.kind in ARITHMETIC)

    assert 1.2 < arithmetic(again) / arithmetic(kept) < 1.4


def test_targets_that_the_base_has_not_are_refused():
    recipe = load_recipe("notebook", ["lora.targets=[no_such]"])
    with pytest.raises(InputError, match="no_such"):
        rehearsed(recipe, ON_T4, CutShape(1, 16, 16))
