"""Peak memory of a step over what the model holds at rest: live tensor bytes, counted at every operator.

On a CUDA device the allocator knows. On a CPU the process's size says little (the C library keeps what was freed, and
hands it out again), so each operator's output is looked at: a storage that no argument brought in is new, and it counts
until it is freed. All competitors run on PyTorch's operators, so that the method is the same for all; what a kernel
allocates inside itself and frees again is not seen, for none of them. It slows a step a little and is switched on for
an untimed one only.
"""

from __future__ import annotations

import weakref
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from typing import Any

import torch
from torch.utils._python_dispatch import TorchDispatchMode


class LiveBytes(TorchDispatchMode):
    """Counts the bytes of storages born under it while they live.

    Attributes:
        now: bytes alive.
        peak: the most at any operator.
    """

    def __init__(self) -> None:
        super().__init__()
        self.now = 0
        self.peak = 0
        self._known: set[int] = set()

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        kwargs = kwargs or {}
        given = {storage._cdata for storage in _storages((*args, *kwargs.values()))}
        result = func(*args, **kwargs)
        for storage in _storages(result if isinstance(result, tuple | list) else (result,)):
            if storage._cdata not in given and storage._cdata not in self._known:
                self._count(storage)
        return result

    def _count(self, storage: torch.UntypedStorage) -> None:
        size, key = storage.nbytes(), storage._cdata
        self._known.add(key)
        self.now += size
        self.peak = max(self.peak, self.now)
        weakref.finalize(storage, self._free, key, size)

    def _free(self, key: int, size: int) -> None:
        self._known.discard(key)
        self.now -= size


def _storages(values: Iterable[Any]) -> Iterator[torch.UntypedStorage]:
    """The storages of the tensors among an operator's arguments or results, lists of tensors looked into."""
    for value in values:
        if isinstance(value, torch.Tensor):
            if value.layout == torch.strided:
                yield value.untyped_storage()
        elif isinstance(value, tuple | list):
            yield from _storages(value)


class Peak:
    """The peak of what runs inside `measured`, bytes over what was there before."""

    def __init__(self, device: str) -> None:
        self.device = device
        self.bytes = 0

    @contextmanager
    def measured(self) -> Iterator[None]:
        """Measure the block. It may span callbacks of a trainer: enter and leave it by hand then."""
        if self.device == "cuda":
            torch.cuda.synchronize()
            torch.cuda.reset_peak_memory_stats()
            rest = torch.cuda.memory_allocated()
            yield
            torch.cuda.synchronize()
            self.bytes = torch.cuda.max_memory_allocated() - rest
        else:
            with LiveBytes() as live:
                yield
            self.bytes = live.peak
