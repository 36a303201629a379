"""Memory that stays where it is while its content changes: a recorded cut reads it where it lay at the recording."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor


def joined_into(kept: Tensor | None, parts: Sequence[Tensor]) -> Tensor:
    """The parts one behind the other, in the given memory where it is of their size and kind, else in new memory.

    Args:
        kept: what an earlier call returned; it is overwritten.
        parts: alike in all but their first dimension, of one dtype and device.
    """
    first = parts[0]
    shape = (sum(map(len, parts)), *first.shape[1:])
    if kept is None or (kept.shape, kept.dtype, kept.device) != (shape, first.dtype, first.device):
        return torch.cat([*parts])
    return torch.cat([*parts], out=kept)
