"""What lies between the products of a decoder layer, as functions of tensors alone that `torch.compile` fuses.

Each is the formula of a chain of operators in `kernels.py`, which without a compiler works in place where it can. Here
nothing is changed in place: one kernel reads the arguments once and writes the result once. The first dimension of all
tensors is N, the positions of a cut, rows of a batch one behind the other: nothing but N differs from cut to cut. Half
precision is rounded at the end of a chain only.
"""

from __future__ import annotations

import torch
from torch import Tensor


def normalized(x: Tensor, weight: Tensor | None, epsilon: float) -> tuple[Tensor, Tensor]:
    """RMSNorm of x [N, ..., size], and 1 / root mean square [N, ..., 1] in fp32."""
    wide = x.float()
    inverse = torch.rsqrt(wide.square().mean(-1, keepdim=True) + epsilon)
    result = wide * inverse
    if weight is not None:
        result = result * weight
    return result.to(x.dtype), inverse


def normalized_gradient(
    gradient: Tensor, x: Tensor, inverse: Tensor, weight: Tensor | None
) -> Tensor:
    """Gradient of `normalized`'s x: with n the inverse and h = weight * gradient it is n h - x n^3 mean(h x)."""
    weighted, wide = gradient.float(), x.float()
    if weight is not None:
        weighted = weighted * weight
    along = (weighted * wide).mean(-1, keepdim=True) * inverse.pow(3)
    return (weighted * inverse - wide * along).to(x.dtype)


def turned(y: Tensor, cosines: Tensor, sines: Tensor, both: int) -> Tensor:
    """Heads y [N, heads, size] with the first `both` turned, queries and keys, and the others, values, as they are.

    The tables are `Rotary`'s, [N, 1, size].
    """
    return _turned_first(y, cosines, sines, both)


def normed_and_turned(
    y: Tensor, cosines: Tensor, sines: Tensor, weights: Tensor, epsilon: float
) -> tuple[Tensor, Tensor]:
    """Query and key heads y [N, both, size], normed with weights [both, size] and turned, and the norms' inverse."""
    result, inverse = normalized(y, weights, epsilon)
    return _turned_first(result, cosines, sines, y.shape[1]), inverse


def turned_gradient(
    query: Tensor, key: Tensor, value: Tensor, cosines: Tensor, sines: Tensor
) -> Tensor:
    """Gradient of `turned`'s y from those of its three parts.

    Args:
        query: [N, queries, size].
        key, value: [N, keys, size]; or all three [N, keys, group, size], where each key head was repeated.
        cosines, sines: as in the forward pass.
    """
    gradient = _joined(query, key, value)
    heads = key.shape[1]
    return _turned_first(gradient, cosines, -sines, gradient.shape[1] - heads)


def normed_and_turned_gradient(
    query: Tensor,
    key: Tensor,
    value: Tensor,
    cosines: Tensor,
    sines: Tensor,
    plain: Tensor,
    inverse: Tensor,
    weights: Tensor,
) -> Tensor:
    """Gradient of all heads from those of its three parts, as `turned_gradient`, where queries and keys are normed.

    Args:
        query, key, value, cosines, sines: as there.
        plain: queries and keys before their norms, [N, both, size].
        inverse, weights: of the norms.
    """
    gradient = _joined(query, key, value)
    both = plain.shape[1]
    back = _turned_first(gradient[:, :both], cosines, -sines, both)
    return torch.cat(
        [normalized_gradient(back, plain, inverse, weights), gradient[:, both:]], dim=1
    )


def gated(wide: Tensor) -> Tensor:
    """SwiGLU's product silu(gate) * up of both halves of [N, 2 x inner]."""
    gate, up = wide.chunk(2, 1)
    return torch.nn.functional.silu(gate) * up


def gated_gradient(gradient: Tensor, wide: Tensor) -> Tensor:
    """Gradient of `gated`'s argument from that of its result; silu'(x) = s (1 + x (1 - s)) with s = sigmoid(x)."""
    gate, up = wide.chunk(2, 1)
    sigmoid = torch.sigmoid(gate)
    slope = sigmoid * (1 + gate * (1 - sigmoid))
    return torch.cat([gradient * up * slope, gradient * gate * sigmoid], dim=1)


def _turned_first(heads: Tensor, cosines: Tensor, sines: Tensor, count: int) -> Tensor:
    """The first heads turned. Written by halves, and with a choice instead of parts, which compilers turn into one
    loop without gathering."""
    middle = heads.shape[-1] // 2
    first, second = heads[..., :middle], heads[..., middle:]
    low = first * cosines[..., :middle] + second * sines[..., :middle]
    high = second * cosines[..., middle:] + first * sines[..., middle:]
    if count == heads.shape[1]:
        return torch.cat([low, high], dim=-1)
    turns = (torch.arange(heads.shape[1], device=heads.device) < count)[:, None]
    return torch.cat([torch.where(turns, low, first), torch.where(turns, high, second)], dim=-1)


def _joined(query: Tensor, key: Tensor, value: Tensor) -> Tensor:
    if query.ndim == 4:
        query, key, value = query.flatten(1, 2), key.sum(2), value.sum(2)
    return torch.cat([query, key, value], dim=1)
