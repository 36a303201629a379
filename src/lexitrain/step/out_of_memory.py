"""Running out of memory as something that can be tried again.

PyTorch says it in several ways: an error of its own on a GPU, a RuntimeError of the CPU allocator, of cuBLAS or of the
driver; Python and numpy raise MemoryError. An error's traceback holds the frames, and with them every activation, of
the computation that failed; so the error is turned into a sentence and dropped before anything is tried again.
"""

from __future__ import annotations

import gc
from collections.abc import Callable
from typing import TypeVar

import torch

T = TypeVar("T")

#: What a RuntimeError says when it means that memory ran out.
_SIGNS = (
    "out of memory",
    "can't allocate memory",
    "not enough memory",
    "CUBLAS_STATUS_ALLOC_FAILED",
    "CUDNN_STATUS_ALLOC_FAILED",
    "CUBLAS_STATUS_NOT_INITIALIZED",  # where nothing is left for its handle
    "out of resource",  # Triton: a kernel needs more shared memory than the GPU has
)


class StepOutOfMemory(Exception):
    """Some process had too little memory for its share of a step. The step's partial gradients are discarded.

    It is raised in all processes at the same step, outside of any `except` block, so that nothing of the failed
    computation is held any more; all of them may do the step again with other settings.
    """


def is_out_of_memory(error: BaseException) -> bool:
    """True for an error that says that memory ran out, of a GPU or of the machine."""
    if isinstance(error, MemoryError | StepOutOfMemory | torch.OutOfMemoryError):
        return True
    return isinstance(error, RuntimeError) and any(sign in str(error) for sign in _SIGNS)


def attempt(work: Callable[[], T]) -> tuple[T | None, str | None]:
    """Do `work`: its result and None, or None and how memory ran out. Other errors pass.

    When this returns, nothing holds on to the tensors of a failed attempt but what `work` itself reaches.
    """
    try:
        return work(), None
    except (MemoryError, RuntimeError, StepOutOfMemory) as error:
        if not is_out_of_memory(error):
            raise
        return None, str(error).strip().partition("\n")[0] or type(error).__name__


def release_memory() -> None:
    """Give back what is not in use: cycles (a recomputed layer's hooks are some), then the allocator's cache."""
    gc.collect()
    if torch.cuda.is_available():
        torch.cuda.empty_cache()
