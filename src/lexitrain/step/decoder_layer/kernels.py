"""The operators that differ between devices: what is one kernel on a GPU is several on a CPU.

The GPU's are called by their names in PyTorch's module, never imported, so that a rehearsal can count them for tensors
that are on no device.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

import torch
from torch import Tensor

if TYPE_CHECKING:
    from lexitrain.step.decoder_layer.rotary import Heads, Rotary


class Kernels:
    """What a kind of device computes with.

    Attributes:
        gpu: a CUDA device, where starting an operator costs more than a small product.
    """

    def __init__(self, *, gpu: bool) -> None:
        self.gpu = gpu

    def left_out(self) -> None:
        """Asked for where layers are computed by the base's own code, and none of this is used."""

    def normalized(self, x: Tensor, weight: Tensor | None, eps: float) -> tuple[Tensor, Tensor]:
        """RMSNorm of the last dimension (Zhang and Sennrich 2019, arXiv:1910.07467), computed in fp32.

        Returns:
            The result, of x's dtype, and 1 / root mean square of each row, fp32, [..., 1].
        """
        if self.gpu:
            return torch.ops.aten._fused_rms_norm(x, [x.shape[-1]], weight, eps)
        size = torch.linalg.vector_norm(x, dim=-1, keepdim=True, dtype=torch.float32)
        inverse = size.square_().div_(x.shape[-1]).add_(eps).rsqrt_()
        result = x * inverse
        if weight is not None:
            result *= weight
        return result.to(x.dtype), inverse

    def normalized_gradient(
        self, gradient: Tensor, x: Tensor, inverse: Tensor, weight: Tensor | None
    ) -> Tensor:
        """Gradient of the input of `normalized`; its weight is frozen.

        With n = 1 / root mean square and h = weight * gradient it is n h - x n^3 mean(h x).
        """
        if self.gpu:
            return torch.ops.aten._fused_rms_norm_backward(
                gradient, x, [x.shape[-1]], inverse, weight, [True, False]
            )[0]
        weighted = gradient.float() if weight is None else gradient * weight.float()
        along = (weighted * x).sum(-1, keepdim=True)
        along.mul_(inverse.pow(3)).div_(-x.shape[-1])
        if weight is None and weighted.dtype == gradient.dtype:
            weighted = weighted * inverse
        else:
            weighted *= inverse
        return weighted.addcmul_(x.to(weighted.dtype), along).to(x.dtype)

    def product(self, left: Tensor, right: Tensor) -> Tensor:
        """`left @ right` of matrices or stacks of them; in fp32 where the device gives its sums without rounding."""
        if self.gpu and left.dtype != torch.float32:
            product = torch.mm if left.ndim == 2 else torch.bmm
            return product(left, right, out_dtype=torch.float32)
        return left @ right

    def turned(
        self, y: Tensor, heads: Heads, rotary: Rotary
    ) -> tuple[Tensor, Tensor, tuple[Tensor, ...]]:
        """Queries and keys, normed where the family does so, and turned.

        Args:
            y: all heads [B, L, queries + 2 keys, size]; may be overwritten.
            heads: of the layer.
            rotary: the tables.

        Returns:
            Turned queries and keys [B, L, queries + keys, size], values, and what `turned_gradient` needs of the norms.
        """
        both = heads.queries + heads.keys
        turned, value = y[:, :, :both], y[:, :, both:]
        before: tuple[Tensor, ...] = ()
        if heads.epsilon is not None:
            plain = turned
            turned, inverse = self.normalized(plain, None, heads.epsilon)
            turned *= heads.weights
            before = plain, inverse
        rotary.turn_(turned)
        return turned, value, before

    def turned_gradient(
        self,
        gradients: Sequence[Tensor],
        heads: Heads,
        rotary: Rotary,
        before: Sequence[Tensor],
        *,
        spread: bool,
    ) -> Tensor:
        """Gradient of all heads [B, L, queries + 2 keys, size].

        Args:
            gradients: of queries, keys and values, [B, heads, L, size] each.
            heads, rotary: of the layer.
            before: what `turned` gave.
            spread: the gradients are [key heads, group, L, size] each, of one row.
        """
        query, key, value = gradients
        rows, length = 1 if spread else len(query), query.shape[2]
        both = heads.queries + heads.keys
        found = query.new_empty(rows, length, both + heads.keys, heads.size)
        turned = found[:, :, :both]
        if spread:
            turned[0, :, : heads.queries].view(length, heads.keys, heads.group, -1).copy_(
                query.permute(2, 0, 1, 3)
            )
            for place, gradient in (
                (found[0, :, heads.queries : both], key),
                (found[0, :, both:], value),
            ):
                torch.sum(gradient, 1, out=place.transpose(0, 1))
        else:
            turned[:, :, : heads.queries] = query.transpose(1, 2)
            turned[:, :, heads.queries :] = key.transpose(1, 2)
            found[:, :, both:] = value.transpose(1, 2)
        rotary.turn_back_(turned)
        if heads.epsilon is not None:
            plain, inverse = before
            weighted = turned * heads.weights
            turned.copy_(self.normalized_gradient(weighted, plain, inverse, None))
        return found

    def gated(self, wide: Tensor) -> Tensor:
        """SwiGLU's product silu(gate) * up [N, inner] of both halves of [N, 2 x inner]."""
        gate, up = wide.tensor_split(2, dim=1)
        product = torch.nn.functional.silu(gate)
        product *= up
        return product

    def gated_again(self, wide: Tensor) -> list[Tensor]:
        """The product, and what else `gated_gradient` makes use of."""
        gate, up = wide.tensor_split(2, dim=1)
        activated = torch.nn.functional.silu(gate)
        return [activated * up, activated]

    def gated_gradient(self, gradient: Tensor, wide: Tensor, parts: list[Tensor]) -> Tensor:
        """Gradient of both halves.

        Args:
            gradient: of the product.
            wide: the halves; may be overwritten.
            parts: what `gated_again` gave; emptied, so that memory is free before more is taken.
        """
        product, activated = parts
        parts.clear()
        gate, up = wide.tensor_split(2, dim=1)
        # Each result takes the place of what was needed for it last: `wide` becomes its own gradient.
        torch.mul(gradient, up, out=product)
        torch.mul(gradient, activated, out=up)
        torch.ops.aten.silu_backward.grad_input(product, gate, grad_input=gate)
        return wide
