"""From bytes in use to what the device is short of: what the allocator reserves, and the runtime's own memory."""

from __future__ import annotations

from lexitrain.planning.rehearsal.target import Target

_SEGMENT = 2 * 2**20
"""PyTorch's CUDA allocator asks the device for multiples of 2 MiB (c10/cuda/CUDACachingAllocator.cpp, kRoundLarge)."""
_FRAGMENTS = 0.04
"""Share of the peak that is reserved besides and lies idle in free blocks that are too small for the next request. An
assumption: it is between 1 and 8 % in steps whose cuts differ in length, and was not measured for every model."""
_POOL_FRAGMENTS = 0.25
"""The same for the pool of CUDA graphs, as a share of what its largest graph uses. An assumption: by the allocator's
rules (best fit, requests of 1 to 10 MB in segments of 20 MiB, larger ones in segments of their own), worked through for
rehearsed cuts of Qwen2.5 0.5B and 1.5B in eight forms, the largest recorded first, it is 2 to 6 % where activations are
kept and 13 to 23 % where they are computed again. Not measured."""
_GRAPH = 24_000_000
"""Bytes that the driver keeps of a recorded cut of some 1,500 kernels. An assumption: as much was reported of a graph
of a decoder's step in an inference server (vllm issue 50780); this product's were not measured."""
_CUDA_WORKSPACE = 8_519_680
"""Bytes that PyTorch gives cuBLAS to work in: the default of CUBLAS_WORKSPACE_CONFIG, :4096:2:16:8, which means two
buffers of 4096 KiB and eight of 16 KiB. (On compute capability 9.0 it is 32 MiB; that is not told apart.)"""
_CUDA_CONTEXT = 450_000_000
"""CUDA context with the kernels of PyTorch and cuBLAS loaded. An assumption in the middle: 300 to 550 MB by card and
version."""


def reserved_bytes(peak: int, target: Target, pool: int = 0) -> int:
    """What the allocator has taken from the device when `peak` bytes were in use. On a CPU, the peak itself.

    Args:
        peak: bytes, the pool included.
        target: the kind of device.
        pool: bytes of the peak that CUDA graphs use.
    """
    if target.device == "cpu":
        return peak
    taken = (peak - pool) * (1 + _FRAGMENTS) + pool * (1 + _POOL_FRAGMENTS)
    return -(-int(taken) // _SEGMENT) * _SEGMENT  # rounded up to whole segments


def workspace_bytes(target: Target) -> int:
    """What matrix products hold from their first call on, beside their results."""
    return _CUDA_WORKSPACE if target.device == "cuda" else 0


def overhead_bytes(target: Target, recorded: int = 0) -> int:
    """What the device's runtime holds outside of the allocator.

    Args:
        target: the kind of device.
        recorded: CUDA graphs of cuts, forward and backward pass. As many of validations are counted besides, each a
            third of one.
    """
    if target.device == "cpu":
        return 0
    return _CUDA_CONTEXT + recorded * _GRAPH + recorded * _GRAPH // 3
