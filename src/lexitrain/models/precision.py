"""In which numbers a device computes. Decided without torch, so that a plan can do it for any GPU."""

from __future__ import annotations

from typing import TYPE_CHECKING, Literal, cast

if TYPE_CHECKING:
    import torch

Precision = Literal["fp32", "bf16", "fp16"]

_AMPERE = (8, 0)
"""Compute capability of NVIDIA's Ampere, the first that computes bf16 in its tensor cores and has the asynchronous
copies that FlexAttention's kernels are built on (CUDA C++ Programming Guide, compute capabilities)."""


def is_ampere_or_later(capability: tuple[int, int] | None) -> bool:
    """Whether a GPU of this compute capability has what came with Ampere; False for a CPU (None)."""
    return capability is not None and capability >= _AMPERE


def compute_precision(precision: str, capability: tuple[int, int] | None) -> Precision:
    """The precision for a recipe's `model.precision` on a device.

    `auto` decides by compute capability, not by `torch.cuda.is_bf16_supported()`, which says yes on cards that only
    emulate bf16: bf16 from 8.0, fp16 below, fp32 on a CPU.

    Args:
        precision: the recipe's field.
        capability: compute capability of the GPU; None for a CPU.
    """
    if precision != "auto":
        return cast("Precision", precision)
    if capability is None:
        return "fp32"
    return "bf16" if is_ampere_or_later(capability) else "fp16"


def torch_dtype(precision: Precision) -> torch.dtype:
    """What torch calls a precision."""
    import torch

    return {"fp32": torch.float32, "bf16": torch.bfloat16, "fp16": torch.float16}[precision]
