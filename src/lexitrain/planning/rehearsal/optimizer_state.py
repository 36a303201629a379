"""Bytes and work of the optimizer: its state, and the update at the end of a step.

bitsandbytes' 8-bit optimizers read their tensors, so they cannot run without content; here are their byte counts, which
a test compares with the real objects. The update works in place: it needs no memory beside the state.
"""

from __future__ import annotations

from collections.abc import Sequence

from lexitrain.planning.rehearsal.cost import Work

_SMALLEST_8BIT = 4096
"""bitsandbytes keeps the state of smaller tensors in 32 bits (`min_8bit_size`)."""
_BLOCK = 256
"""Numbers that share a scale in 8-bit state (Dettmers et al. 2021, arXiv:2110.02861)."""
_MAPS = 2 * 256 * 4
"""The two tables of 256 values that 8-bit state stands for, shared by all tensors."""


def state_bytes(optimizer: str, sizes: Sequence[int]) -> int:
    """Bytes of the state of AdamW: two moments of every number that is trained.

    Paged state is counted as well: it leaves a GPU only when room is needed.

    Args:
        optimizer: the recipe's `optimizer.name`.
        sizes: numbers in each trained tensor.
    """
    if optimizer == "adamw":
        return sum(2 * 4 * size + 4 for size in sizes)  # and a count of steps
    if optimizer == "paged_adamw_32bit":
        return sum(2 * 4 * size for size in sizes)
    small = sum(2 * 4 * size for size in sizes if size < _SMALLEST_8BIT)
    large = [size for size in sizes if size >= _SMALLEST_8BIT]
    blocks = sum(-(-size // _BLOCK) for size in large)
    return small + 2 * sum(large) + 2 * 4 * blocks + (_MAPS if large else 0)


def update_work(optimizer: str, sizes: Sequence[int]) -> Work:
    """Norm, clipping and AdamW over all trained numbers.

    The gradient is read for its norm, read and written when it is scaled, and read by the update, which reads and
    writes weight and state. PyTorch handles many tensors in one kernel, bitsandbytes one tensor in one.

    Args:
        optimizer, sizes: as in `state_bytes`.
    """
    count = sum(sizes)
    moved = (4 + 8 + 4 + 8) * count + 2 * state_bytes(optimizer, sizes)
    tensors = len(sizes)
    launches = 2 + tensors / _TENSORS_A_KERNEL * 3 if optimizer == "adamw" else 2 + tensors
    return Work("optimizer", "update", 20.0 * count, float(moved), launches)


_TENSORS_A_KERNEL = 30
"""Tensors that one of PyTorch's multi-tensor kernels takes; the space for its arguments bounds them."""
