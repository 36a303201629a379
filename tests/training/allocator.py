"""An allocator with a limit, for tests: it sees every tensor that the real forward and backward passes allocate.

It counts the bytes of the storages that are alive, weights included, and raises PyTorch's own out-of-memory error when
an allocation would exceed the limit, or at chosen allocations. Nothing of the product is replaced.
"""

from __future__ import annotations

import functools
import weakref
from collections.abc import Callable
from typing import Any

import pytest
import torch
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_leaves

from lexitrain.step import TrainingStep


class Allocator(TorchDispatchMode):
    """Counts live bytes; see the module.

    Args:
        limit: most bytes that may be alive.
        fails: called with True in a backward pass, at each allocation; whether it fails.
    """

    def __init__(
        self, limit: int | None = None, fails: Callable[[bool], bool] = lambda _: False
    ) -> None:
        super().__init__()
        self.limit = limit
        self.live = 0
        self.peak = 0
        self.refused = 0
        self._fails = fails
        self._seen: set[int] = set()

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        self._count((args, kwargs))
        result = func(*args, **(kwargs or {}))
        if self._count(result):
            self.peak = max(self.peak, self.live)
            backward = torch._C._current_graph_task_id() != -1
            if (self.limit is not None and self.live > self.limit) or self._fails(backward):
                self.refused += 1
                raise torch.OutOfMemoryError("CUDA out of memory. Tried to allocate: a test")
        return result

    def _count(self, values: Any) -> bool:
        """Take in storages not seen before; True when there were some."""
        new = False
        for value in tree_leaves(values):
            if not isinstance(value, torch.Tensor) or value.device.type == "meta":
                continue
            storage = value.untyped_storage()
            place = storage._cdata
            if place not in self._seen:
                new = True
                self._seen.add(place)
                self.live += storage.nbytes()
                weakref.finalize(storage, self._forget, place, storage.nbytes())
        return new

    def _forget(self, place: int, size: int) -> None:
        self._seen.discard(place)
        self.live -= size


def allocate_through(
    allocator: Allocator, monkeypatch: pytest.MonkeyPatch, method: str = "gradients"
) -> None:
    """Let every call of a method of the step, and its tensors, go through an allocator."""
    original = getattr(TrainingStep, method)

    @functools.wraps(original)
    def through(self: TrainingStep, *args: Any, **kwargs: Any) -> Any:
        with allocator:
            return original(self, *args, **kwargs)

    monkeypatch.setattr(TrainingStep, method, through)


class FailingSteps:
    """Lets the first allocations of a pass in some attempts of one step fail.

    Args:
        step: number of the step, from 1.
        attempts: how many attempts at it fail.
        backward: in the backward pass, else in the forward pass.
        after: allocations of the pass that succeed.
    """

    def __init__(self, step: int, attempts: int, *, backward: bool, after: int) -> None:
        self._step, self._left, self._backward, self._after = step, attempts, backward, after
        self.done = 0
        self._allocations = 0

    def begin(self, done: int) -> None:
        """An attempt begins, `done` steps being done."""
        self.done, self._allocations = done, 0

    def __call__(self, backward: bool) -> bool:
        if self.done + 1 != self._step or not self._left or backward != self._backward:
            return False
        self._allocations += 1
        if self._allocations <= self._after:
            return False
        self._left -= 1
        return True
