"""What the Transformers Trainer makes of a recipe: micro-batches of a few samples, in their order, padded.

It shares no prefix, packs nothing and chooses nothing by itself. A recipe whose layout is `padded` is padded to
`data.max_length`, as the team's notebook did; any other to the longest sample of each micro-batch, as the collator of
most scripts does.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

from lexitrain.batching import StepLayout
from lexitrain.recipe import Recipe

if TYPE_CHECKING:
    from lexitrain.batching import CutCost, MicroBatch
    from lexitrain.samples import Sample

_MICRO_BATCH = 4
"""Samples of a micro-batch where the recipe leaves it open: as the team's notebook has it."""
_EVERY_POSITION = 1_048_576
"""All positions get logits at once: more than a micro-batch has."""


def trainer_recipe(recipe: Recipe) -> Recipe:
    """The recipe with what is `auto` as usual: no recomputation, no quantization, 4 samples at a time."""
    content = recipe.model_dump()
    step = content["step"]
    if step["micro_batch"] == "auto":
        step["micro_batch"] = min(_MICRO_BATCH, step["effective_batch"])
    if step["gradient_checkpointing"] == "auto":
        step["gradient_checkpointing"] = "never"
    if content["model"]["quantization"] == "auto":
        content["model"]["quantization"] = "none"
    step.update(token_budget="auto", head_chunk=_EVERY_POSITION)
    return Recipe.model_validate(content)


@dataclass(frozen=True, slots=True)
class PaddedBatches:
    """How the usual trainer lays out a step.

    Attributes:
        padded: the layout of one micro-batch.
        micro_batch: its samples.
        longest: whether rows are as long as the longest of them, instead of `padded.max_length`.
    """

    padded: StepLayout
    micro_batch: int
    longest: bool

    @classmethod
    def of_layout(cls, layout: StepLayout, micro_batch: int) -> PaddedBatches:
        """Those of a recipe whose own step has this layout."""
        padded = replace(
            layout,
            layout="padded",
            token_budget=None,
            micro_batch=micro_batch,
            bucket=1,
            blocks=False,
            window=None,
        )
        return cls(padded, micro_batch, longest=layout.layout != "padded")

    @property
    def cost(self) -> CutCost:
        """Of a cut, by which several processes share them."""
        return self.padded.cost

    def lay_out(self, samples: Sequence[Sample], processes: int = 1) -> list[MicroBatch]:  # noqa: ARG002
        """The micro-batches of a step, as many however many processes there are."""
        found: list[MicroBatch] = []
        for start in range(0, len(samples), self.micro_batch):
            some = samples[start : start + self.micro_batch]
            layout = replace(self.padded, max_length=1) if self.longest else self.padded
            found += layout.lay_out(some)
        return found
