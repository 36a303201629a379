"""Bytes and work of the optimizer: its state, and the update at the end of a step.

bitsandbytes' 8-bit optimizers read their tensors' content, so they cannot be rehearsed on tensors without any. Here are
their byte counts instead, which a test compares with the real objects. The update works in place: it needs no memory
beside the state.
"""

from __future__ import annotations

from collections.abc import Sequence

from lexitrain.planning.rehearsal.rehearsed_step import Work

SMALLEST_8BIT = 4096
"""bitsandbytes keeps the state of tensors with fewer numbers in 32 bits (its argument `min_8bit_size`)."""
BLOCK_8BIT = 256
"""Numbers that share a scale in 8-bit state (Dettmers et al. 2021, arXiv:2110.02861)."""
MAPS_8BIT = 2 * 256 * 4
"""Bytes of the two tables, one a moment, of the 256 fp32 values that 8-bit state stands for. All tensors share them in
memory; a checkpoint holds them once for each tensor."""


def state_bytes(optimizer: str, sizes: Sequence[int]) -> int:
    """Bytes of the state of AdamW: two moments of every number that is trained.

    Paged state is counted as well: it leaves a GPU only when room is needed.

    Args:
        optimizer: the recipe's `optimizer.name`.
        sizes: numbers in each trained tensor.
    """
    if optimizer == "adamw":
        return 2 * 4 * sum(sizes) + 4  # and a count of steps
    if optimizer == "paged_adamw_32bit":
        return 2 * 4 * sum(sizes)
    small = sum(2 * 4 * size for size in sizes if size < SMALLEST_8BIT)
    large = [size for size in sizes if size >= SMALLEST_8BIT]
    if not large:
        return small
    blocks = sum(-(-size // BLOCK_8BIT) for size in large)
    # Each tensor begins a block, so that all but the last one's are filled up.
    states = BLOCK_8BIT * (blocks - -(-large[-1] // BLOCK_8BIT)) + large[-1]
    return small + 2 * states + 2 * 4 * blocks + MAPS_8BIT


def update_work(optimizer: str, sizes: Sequence[int], *, flat: bool = True) -> Work:
    """Norm, clipping and AdamW over all trained numbers.

    The gradient is read for its norm, read and written when it is scaled, and read by the update, which reads and
    writes weight and state. All tensors are one, two where 8-bit state leaves small tensors in 32 bits. What else is
    done once a step is counted here too: the gradient's zeros, the adapter's cast to the compute precision.

    Args:
        optimizer, sizes: as in `state_bytes`.
        flat: all tensors are one; else each is updated for itself, as by the usual trainer.
    """
    count = sum(sizes)
    # fp32: 4 bytes written as zeros, 4 read for the norm, 8 read and written for the clipping, 4 of gradient and 8 of
    # weight in the update, 6 for the cast.
    moved = (4 + 4 + 8 + 4 + 8 + 6) * count + 2 * state_bytes(optimizer, sizes)
    kinds = {optimizer.endswith("8bit") and size >= SMALLEST_8BIT for size in sizes}
    # Zeros, cast, norm, its mean with the loss, clipping; a count of steps where PyTorch keeps it on the device.
    launches = 5 + len(kinds) + (optimizer == "adamw")
    if not flat:
        launches = 5 + len(sizes) * (optimizer != "adamw")
    # AdamW takes about 20 operations a number; the traffic decides its time by far.
    return Work("optimizer", "update", 20.0 * count, float(moved), launches)
