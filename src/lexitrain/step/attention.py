"""The attention mask of a micro-batch, built once and used by every layer.

The mask is dense and additive: 0 where `k <= q < reach[k]`, minus infinity elsewhere, in the dtype of the queries.
PyTorch turns a boolean mask into exactly this inside each call of its attention, that is, in every layer; done here it
is done once. It takes `B x L x L` numbers (2 or 4 bytes each). Every position sees at least itself, so that no row of
the softmax is empty.
"""

from __future__ import annotations

import torch
from torch import Tensor


def attention_mask(reach: Tensor, dtype: torch.dtype) -> Tensor:
    """Additive mask [B, 1, L, L] (query, key) for `reach` [B, L], on its device."""
    columns = torch.arange(reach.shape[1], device=reach.device)
    query, key = columns[:, None], columns[None, :]
    visible = (key <= query) & (query < reach[:, None, :])
    mask = torch.zeros(visible.shape, dtype=dtype, device=reach.device)
    return mask.masked_fill_(~visible, float("-inf"))[:, None]
