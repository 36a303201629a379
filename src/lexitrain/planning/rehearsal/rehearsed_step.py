"""A rehearsed step: bytes at its peak, by part, and arithmetic and traffic, by kind of operation.

These are the results of a rehearsal (`lexitrain.planning.rehearsal.rehearse.rehearse`), and what time, comparison and
recommendation are computed from. Nothing here depends on a device's speed.
"""

from __future__ import annotations

from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING, Literal

if TYPE_CHECKING:
    pass

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
ARITHMETIC: frozenset[Kind] = frozenset({"matmul", "adapter", "attention", "head"})
"""Kinds whose operations count as a step's arithmetic; element-wise work is left out, as is usual."""


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
        graphs: the pool of cuts that are recorded as CUDA graphs, kept from one replay to the next. 0 where none are.
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
    graphs: int = 0

    @property
    def peak(self) -> int:
        """The parts' sum: most bytes in use at a time, as `torch.cuda.max_memory_allocated` counts them.

        That does not count the pool of graphs, in which nothing is in use between two replays.
        """
        return sum(self.parts().values())

    @property
    def device_total(self) -> int:
        """What a monitor of the device shows: reserved and overhead."""
        return self.reserved + self.overhead

    def parts(self) -> dict[str, int]:
        """The seven parts by name, and `graphs` where there are any; they sum to the peak."""
        left_out = {"reserved", "overhead"} if self.graphs else {"reserved", "overhead", "graphs"}
        return {name: value for name, value in asdict(self).items() if name not in left_out}


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
        memory: bytes at the peak.
        operations: a line for each kind and phase that occurs; sums over all cuts and the update.
    """

    memory: Memory
    operations: tuple[Work, ...]
