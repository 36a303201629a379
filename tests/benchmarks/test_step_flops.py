"""The counted arithmetic is the traced one, and the traced one is what the shapes say."""

from __future__ import annotations

import pytest
from benchmarks.step_flops import Arithmetic, count, traced_step
from torch._subclasses.fake_tensor import FakeTensorMode

from benchmarks import step_flops
from lexitrain.planning.rehearsal.cut_shape import CutShape, blank_micro_batch
from lexitrain.recipe.schema import Recipe

HIDDEN, HEADS, INTERMEDIATE, LAYERS, RANK = 64, 4, 96, 5, 4
KEY_VALUE = 2 * HIDDEN // HEADS
VOCABULARY = step_flops.SHARED_CONFIG["vocab_size"]


@pytest.fixture
def recipe(monkeypatch: pytest.MonkeyPatch) -> Recipe:
    shape = {
        "hidden_size": HIDDEN,
        "num_hidden_layers": LAYERS,
        "num_attention_heads": HEADS,
        "intermediate_size": INTERMEDIATE,
    }
    monkeypatch.setitem(step_flops.SHAPES, "tiny", shape)
    return Recipe.model_validate({"model": {"base": "tiny"}, "lora": {"rank": RANK}})


@pytest.mark.slow
@pytest.mark.parametrize("checkpointing", ["never", "always"])
def test_two_depths_extend_exactly(recipe: Recipe, checkpointing: str):
    recipe = recipe.model_copy(
        update={"step": recipe.step.model_copy(update={"gradient_checkpointing": checkpointing})}
    )
    batches = [blank_micro_batch(CutShape(*each)) for each in ((1, 37, 5), (3, 50, 150))]
    with FakeTensorMode(allow_non_fake_inputs=True):
        traced = count(traced_step(recipe, LAYERS), batches)
    assert Arithmetic.traced(recipe).of(batches) == traced


def test_the_coefficients_are_those_of_the_shapes(recipe: Recipe):
    """Two operations a weight and pass: forward and input gradient for the frozen ones, three passes for the adapter's;
    seven products of attention; the head forward and backward.

    The first layer's inputs need no gradient: its q, k and v save that of their frozen matrix and of A.
    """
    found = Arithmetic.traced(recipe)
    ends = [
        *[(HIDDEN, HIDDEN), (HIDDEN, KEY_VALUE), (HIDDEN, KEY_VALUE), (HIDDEN, HIDDEN)],
        *[(HIDDEN, INTERMEDIATE), (HIDDEN, INTERMEDIATE), (INTERMEDIATE, HIDDEN)],
    ]
    layer = sum(2 * 2 * a * b + 3 * 2 * RANK * (a + b) for a, b in ends)
    saved = sum(2 * a * b + 2 * RANK * a for a, b in ends[:3])
    assert found.per_position == LAYERS * layer - saved
    assert found.per_cell == LAYERS * 14 * HIDDEN
    assert found.per_scored == 2 * 2 * HIDDEN * VOCABULARY
