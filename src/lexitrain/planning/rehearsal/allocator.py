"""From bytes in use to what the device is short of: what the allocator reserves, and the runtime's own memory."""

from __future__ import annotations

from lexitrain.planning.rehearsal.target import Target

_SEGMENT = 2 * 2**20
"""PyTorch's CUDA allocator asks the device for multiples of 2 MiB (c10/cuda/CUDACachingAllocator.cpp, kRoundLarge)."""
_FRAGMENTS = 0.04
"""Share of the peak that is reserved besides and lies idle in free blocks that are too small for the next request. An
assumption: it is between 1 and 8 % in steps whose cuts differ in length, and was not measured for every model."""
_CUDA_WORKSPACE = 8_519_680
"""Bytes that PyTorch gives cuBLAS to work in: the default of CUBLAS_WORKSPACE_CONFIG, :4096:2:16:8, which means two
buffers of 4096 KiB and eight of 16 KiB. (On compute capability 9.0 it is 32 MiB; that is not told apart.)"""
_CUDA_CONTEXT = 450_000_000
"""CUDA context with the kernels of PyTorch and cuBLAS loaded. An assumption in the middle: 300 to 550 MB by card and
version."""


def reserved_bytes(peak: int, target: Target) -> int:
    """What the allocator has taken from the device when `peak` bytes were in use. On a CPU, the peak itself."""
    if target.device == "cpu":
        return peak
    return -(-int(peak * (1 + _FRAGMENTS)) // _SEGMENT) * _SEGMENT  # rounded up to whole segments


def workspace_bytes(target: Target) -> int:
    """What matrix products hold from their first call on, beside their results."""
    return _CUDA_WORKSPACE if target.device == "cuda" else 0


def overhead_bytes(target: Target) -> int:
    """What the device's runtime holds outside of the allocator."""
    return _CUDA_CONTEXT if target.device == "cuda" else 0
