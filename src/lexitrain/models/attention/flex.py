"""FlexAttention, compiled so that it cannot be slow without a word.

PyTorch compiles it anew for kinds of shapes, and past a limit goes on with a form that builds the whole matrix of
scores. Compiled with lengths as variables there are few kinds; compiled as a whole it raises at that limit.
"""

from __future__ import annotations

from functools import cache
from typing import Any

import torch
from torch import Tensor
from torch.nn.attention.flex_attention import BlockMask, flex_attention

_PROBED = 512
"""Tokens of the rows that are tried; longer than what the kernels for short queries take."""


@cache
def _compiled() -> Any:
    return torch.compile(flex_attention, dynamic=True, fullgraph=True)


def attend_in_tiles(
    query: Tensor, key: Tensor, value: Tensor, mask: BlockMask, scale: float | None
) -> Tensor:
    """Attention [B, heads, L, d] of queries over keys and values [B, key heads, L, d].

    On a CPU, where there is no backward pass for it, it is not compiled.
    """
    attend: Any = _compiled() if query.is_cuda else flex_attention
    grouped = key.shape[1] != query.shape[1]
    found: Tensor = attend(query, key, value, block_mask=mask, scale=scale, enable_gqa=grouped)
    return found


def why_not_in_tiles(
    device: torch.device, dtype: torch.dtype, heads: int, key_heads: int, size: int
) -> str | None:
    """Why FlexAttention does not work on a GPU, by trying it forward and backward; None where it works.

    It takes some seconds, in which its kernels are compiled: that needs Triton, a C compiler and Python's headers.

    Args:
        device, dtype: of the computation.
        heads, key_heads, size: of the base's attention.
    """
    trains = device.type == "cuda"
    query, key, value = (
        torch.randn(1, count, _PROBED, size, device=device, dtype=dtype, requires_grad=trains)
        for count in (heads, key_heads, key_heads)
    )
    tiles = -(-_PROBED // 128)
    counts = torch.arange(1, tiles + 1, device=device, dtype=torch.int32)[None, None]
    places = torch.arange(tiles, device=device, dtype=torch.int32).expand(1, 1, tiles, tiles)

    def causal(_row: Tensor, _head: Tensor, q: Tensor, k: Tensor) -> Tensor:
        return k <= q

    try:
        mask = BlockMask.from_kv_blocks(counts, places.contiguous(), mask_mod=causal)
        found = attend_in_tiles(query, key, value, mask, None)
        wanted = torch.nn.functional.scaled_dot_product_attention(
            query, key, value, is_causal=True, enable_gqa=heads != key_heads
        )
        apart = float((found - wanted).abs().max().detach())
        if not apart <= 0.05:
            return f"it gives other numbers than plain attention ({apart:.2g} apart)"
        if trains:
            found.float().sum().backward()
    except Exception as error:  # whatever a compiler raises
        return f"{type(error).__name__}: {str(error).strip().partition(chr(10))[0]}"
    return None
