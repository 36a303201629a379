"""What one optimizer step costs: bytes at its peak, by part, and arithmetic and traffic, by kind of operation.

These are the results of a rehearsal (`lexitrain.planning.rehearsal.rehearse.rehearse`) and what time, comparison and
recommendation are computed from. Nothing here depends on a device's speed.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict, dataclass
from itertools import accumulate
from typing import TYPE_CHECKING, Literal

from lexitrain.batching.query_blocks import attention_cells
from lexitrain.models.attention_form import AttentionKind, attention_kind
from lexitrain.models.precision import Precision, compute_precision

if TYPE_CHECKING:
    from lexitrain.batching.micro_batch import MicroBatch

DeviceKind = Literal["cpu", "cuda"]
Phase = Literal["forward", "backward", "update"]
Kind = Literal[
    "matmul",
    "adapter",
    "attention",
    "head",
    "elementwise",
    "embedding",
    "quantization",
    "optimizer",
]
"""Kinds of operation.

`matmul`: products with the frozen base's projections. `adapter`: the low-rank products and the casts of their
weights. `attention`: the fused kernel. `head`: logits, loss and their gradient. `elementwise`: norms, activations,
rotations, residuals, copies, masks. `embedding`: the token lookup and other gathers. `quantization`: restoring 4-bit
weights. `optimizer`: clipping and update.
"""


@dataclass(frozen=True, slots=True)
class Target:
    """What kind of device a step is rehearsed for, without its speed.

    Attributes:
        device: `cpu` or `cuda`.
        dtype: compute precision, in which the base is stored as well.
        attention: `blocks` of queries (CPU), a `dense` mask (CUDA below compute capability 8.0) or `flex`.
    """

    device: DeviceKind
    dtype: Precision
    attention: AttentionKind

    @classmethod
    def of(
        cls,
        precision: str,
        capability: tuple[int, int] | None,
        attention: str = "auto",
        dropout: float = 0.0,
    ) -> Target:
        """The target that training would choose.

        Args:
            precision: the recipe's `model.precision`, `auto` included.
            capability: compute capability of the GPU; None for a CPU.
            attention: the recipe's `step.attention`, `auto` included.
            dropout: share of attention weights that the base drops.

        Raises:
            DeviceError, ModelError: attention cannot be computed in that form, so that training would refuse.
        """
        return cls(
            "cpu" if capability is None else "cuda",
            compute_precision(precision, capability),
            attention_kind(attention, capability, dropout),
        )


@dataclass(frozen=True, slots=True)
class CutShape:
    """A micro-batch as far as its cost goes.

    Attributes:
        rows, length: layout positions are rows x length.
        scored: hidden states that go through the output head.
        blocks: queries and keys of each block of the only row; none where attention is over whole rows.
        trunk: columns at its beginning that all later queries see besides.
    """

    rows: int
    length: int
    scored: int
    blocks: tuple[tuple[int, int], ...] = ()
    trunk: int = 0

    @classmethod
    def of(cls, batch: MicroBatch) -> CutShape:
        """The shape of a micro-batch."""
        rows, length = batch.tokens.shape
        blocks = tuple((block.queries, len(block.columns)) for block in batch.blocks)
        return cls(rows, length, len(batch.predict), blocks, batch.trunk)

    @property
    def positions(self) -> int:
        """Layout tokens, padding included."""
        return self.rows * self.length

    @property
    def cells(self) -> int:
        """Cells of the attention matrix that are computed, for one head."""
        return attention_cells(self.rows, self.length, self.blocks, self.trunk)

    @property
    def block_bounds(self) -> tuple[tuple[int, int, int], ...]:
        """Of each block: first query, the one after the last, and how many keys."""
        ends = accumulate(queries for queries, _ in self.blocks)
        return tuple(
            (end - queries, end, keys)
            for end, (queries, keys) in zip(ends, self.blocks, strict=True)
        )

    @property
    def after_trunk(self) -> int:
        """Queries that see the trunk besides their block's columns."""
        return self.length - self.trunk if self.trunk else 0

    @property
    def keys(self) -> int:
        """Keys of all blocks."""
        return sum(keys for _, keys in self.blocks)


@dataclass(frozen=True, slots=True)
class Memory:
    """Bytes at the moment of a step when most of them are in use, told apart by what they are for.

    Attributes:
        weights: the frozen base, quantized or not.
        adapter: the trained weights, fp32.
        gradients: of the adapter, fp32.
        optimizer: its state.
        activations: kept from the forward for the backward pass; hidden states, masks and inputs included.
        logits: what the output head holds for its chunk of scored positions.
        workspace: what single operations need for a moment: results of the layer at hand, gradients that flow
            through it, restored 4-bit weights, temporaries of the update.
        reserved: what the allocator takes from the device for this peak: blocks are rounded up and fragment.
        overhead: what the device's runtime holds besides (CUDA context and libraries; 0 on a CPU).
    """

    weights: int
    adapter: int
    gradients: int
    optimizer: int
    activations: int
    logits: int
    workspace: int
    reserved: int
    overhead: int

    @property
    def peak(self) -> int:
        """The parts' sum: most bytes in use at a time, as `torch.cuda.max_memory_allocated` counts them."""
        return sum(self.parts().values())

    @property
    def device_total(self) -> int:
        """What a monitor of the device shows: reserved and overhead."""
        return self.reserved + self.overhead

    def parts(self) -> dict[str, int]:
        """The seven parts by name; they sum to the peak."""
        return {
            name: value
            for name, value in asdict(self).items()
            if name not in {"reserved", "overhead"}
        }


@dataclass(frozen=True, slots=True)
class Work:
    """All operations of one kind in one phase of a step.

    Attributes:
        flops: multiplications and additions of matrix products and attention; for other kinds one an element.
        bytes: read and written by each operation once, as if no cache held them.
        launches: operations started, that is, kernels on a GPU.
    """

    kind: Kind
    phase: Phase
    flops: float
    bytes: float
    launches: float


@dataclass(frozen=True, slots=True)
class Rehearsal:
    """One optimizer step, rehearsed.

    Attributes:
        architecture: name of the base.
        target: the device kind it was rehearsed for.
        cuts: shapes of its micro-batches.
        memory: bytes at the peak.
        operations: a line for each kind and phase that occurs; sums over all cuts and the update.
        base_parameters, trainable_parameters: counts.
    """

    architecture: str
    target: Target
    cuts: tuple[CutShape, ...]
    memory: Memory
    operations: tuple[Work, ...]
    base_parameters: int
    trainable_parameters: int

    @property
    def flops(self) -> float:
        """Arithmetic of matrix products and attention; element-wise work is left out, as is usual."""
        counted = {"matmul", "adapter", "attention", "head"}
        return sum(work.flops for work in self.operations if work.kind in counted)

    @property
    def layout_tokens(self) -> int:
        """Positions of all cuts."""
        return sum(cut.positions for cut in self.cuts)


def shapes_of(batches: Sequence[MicroBatch]) -> tuple[CutShape, ...]:
    """The shapes of a step's micro-batches."""
    return tuple(CutShape.of(batch) for batch in batches)
