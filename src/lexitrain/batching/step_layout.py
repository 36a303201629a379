"""How the steps of a run are laid out: all that decides it, in one value.

Training and planning build it from the same recipe by the same rule, so that a plan foresees the micro-batches that
training computes.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from lexitrain.batching.layout import LayoutName, lay_out
from lexitrain.batching.micro_batch import MicroBatch
from lexitrain.batching.process_shares import cuts_for
from lexitrain.batching.query_blocks import TILE
from lexitrain.batching.scored_tokens import LossName

if TYPE_CHECKING:
    from lexitrain.batching.cuts import CutCost
    from lexitrain.recipe import StepSection
    from lexitrain.samples import Sample


@dataclass(frozen=True, slots=True)
class StepLayout:
    """How a step's samples become micro-batches; the fields are the arguments of `lay_out`.

    Attributes:
        layout: `tree`, `packed` or `padded`.
        loss: which tokens are scored.
        max_length: row length of `padded`, tokens.
        pad_id: token put on padding.
        token_budget: most positions of a micro-batch; None: no limit.
        micro_batch: exact number of samples of a micro-batch; None: the cheapest cuts.
        cost: of a cut.
        bucket: row lengths are padded to a multiple of it.
        blocks, tiles: whether attention goes by blocks, or leaves out tiles that the rule hides.
        few_shapes: whether rows and scored positions are padded to few numbers.
        window: of the base's windowed layers, tokens.
    """

    layout: LayoutName
    loss: LossName
    max_length: int
    pad_id: int
    token_budget: int | None
    micro_batch: int | None
    cost: CutCost
    bucket: int
    blocks: bool
    tiles: bool
    few_shapes: bool
    window: int | None

    @classmethod
    def of_recipe(
        cls,
        step: StepSection,
        cost: CutCost,
        *,
        max_length: int,
        pad_id: int,
        attention: str,
        device: str,
        window: int | None = None,
    ) -> StepLayout:
        """The layout for a recipe on a device.

        Args:
            step: the recipe's section; where it says `auto`, there is no token budget and cuts are the cheapest.
            cost: of a cut there.
            max_length: the recipe's `data.max_length`.
            pad_id: the tokenizer's.
            attention: form in which it is computed there: `dense`, `blocks` or `flex`.
            device: `cpu`, `cuda` or another type that PyTorch knows.
            window: tokens that a query of the base's windowed layers sees; None where it has no such layers.
        """
        return cls(
            layout=step.layout,
            loss=step.loss,
            max_length=max_length,
            pad_id=pad_id,
            token_budget=None if step.token_budget == "auto" else step.token_budget,
            micro_batch=None if step.micro_batch == "auto" else step.micro_batch,
            cost=cost,
            bucket=_bucket(device, attention) if step.bucket == "auto" else step.bucket,
            blocks=attention == "blocks",
            tiles=attention == "flex",
            few_shapes=step.graphs == "always",
            window=window,
        )

    def lay_out(self, samples: Sequence[Sample], processes: int = 1) -> list[MicroBatch]:
        """The micro-batches of a step, cut so that so many processes together finish first.

        Numpy only, so a background worker can do it ahead of time.
        """
        # The third rung of the memory ladder lowers `max_length`, and a sample whose answer alone is longer stays as
        # it is: padded rows then grow with the longest sample instead of refusing it.
        row_length = max([self.max_length, *map(len, samples)])

        def under(token_budget: int | None) -> list[MicroBatch]:
            return lay_out(
                samples,
                layout=self.layout,
                loss=self.loss,
                max_length=row_length,
                pad_id=self.pad_id,
                token_budget=token_budget,
                micro_batch=self.micro_batch,
                cost=self.cost,
                bucket=self.bucket,
                blocks=self.blocks,
                tiles=self.tiles,
                few_shapes=self.few_shapes,
                window=self.window,
            )

        return cuts_for(under, self.token_budget, self.cost, processes)


def _bucket(device: str, attention: str) -> int:
    """What `bucket: auto` is.

    A CPU's kernels take any length. A GPU's fused attention wants masks whose rows are a multiple of 8 numbers; 16 is
    one, and gives the allocator fewer sizes. FlexAttention goes by tiles of 128, so that nothing is gained below.
    """
    if device == "cpu":
        return 1
    return TILE if attention == "flex" else 16
