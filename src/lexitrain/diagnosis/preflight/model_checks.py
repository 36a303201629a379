"""Whether this very model can be trained as the recipe says: two samples of the data in the step's layout, and each
alone."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Any

from lexitrain.diagnosis.check import Check, passed, refused
from lexitrain.errors import InputError
from lexitrain.step import layout_loss, release_memory, require_layout_of
from lexitrain.training import built_step, two_samples

if TYPE_CHECKING:
    from lexitrain.recipe import Recipe
    from lexitrain.samples import Samples
    from lexitrain.step import TrainingStep


def model_check(recipe: Recipe, train: Samples, tokenizer: Any) -> Check:
    """Load the base, put the recipe's adapter on it, and compare; the model is let go of again.

    Args:
        recipe: with its automatic settings decided.
        train: the training samples.
        tokenizer: the base's.
    """
    try:
        step = built_step(recipe, recipe.model, tokenizer.pad_token_id, start=recipe.model.adapter)
    except InputError as error:
        return refused("layout", error, "The model cannot be made.")
    found = layout_check(step, train)
    del step
    release_memory()
    return found


def layout_check(step: TrainingStep, train: Samples) -> Check:
    """Whether the layout gives the loss that the base gives, to rounding."""
    samples = two_samples(train)
    layout = step.step_layout.layout
    try:
        require_layout_of(step, samples)
        compared = layout_loss(step, samples)
    except InputError as error:
        return refused(
            "layout", error, "What is trained would not be what the data say, with a healthy loss."
        )
    if compared is None:
        return passed("layout", f"Not compared: memory ran out over {len(samples)} samples.")
    if not math.isfinite(compared.alone):
        return passed("layout", "Not compared: the base's own loss is not a number.")
    return passed(
        "layout",
        f"{len(samples)} samples in the layout {layout} have the loss that each has alone, {compared.alone:.4f} nats a "
        f"token, to {max(compared.difference, 1e-9):.0e} (allowed: {compared.tolerance:.0e}).",
    )
