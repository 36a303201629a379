"""The operators that differ between devices: what is one kernel on a GPU is several on a CPU.

The GPU's are called by their names in PyTorch's module, never imported, so that a rehearsal can count them for tensors
that are on no device.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor


@dataclass(frozen=True, slots=True)
class Kernels:
    """What a kind of device computes with.

    Attributes:
        gpu: a CUDA device, where starting an operator costs more than a small product.
    """

    gpu: bool

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
