"""Work on a device that is recorded once and done again as often as wanted, on the same memory.

On CUDA it is a graph: the host starts thousands of kernels with one call. Elsewhere the work is done anew each time,
on the same tensors, so that all but the recording itself can be tested without a GPU.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Protocol
from weakref import WeakSet

import torch

Work = Callable[[], None]


class Recording(Protocol):
    """Recorded work."""

    def replay(self) -> None:
        """Do it again; waits for nothing."""
        ...


class Recorder(Protocol):
    """Records work of one device."""

    def record(self, work: Work) -> Recording:
        """Record it. Nothing is computed meanwhile that anyone could read.

        Args:
            work: was done before, so that kernels are chosen and compiled; it reads and writes tensors that stay.
        """
        ...


class Repeated:
    """Work that is done anew, on devices without graphs."""

    def __init__(self, work: Work) -> None:
        self._work = work

    def replay(self) -> None:
        """Do it again."""
        self._work()


class RepeatingRecorder:
    """Keeps the work itself."""

    def record(self, work: Work) -> Recording:
        """Keep it."""
        return Repeated(work)


class GraphRecorder:
    """CUDA graphs that share one pool of memory: no two of them are replayed at a time, and none leaves results in it.

    Not measured: no GPU has run it yet.
    """

    def __init__(self) -> None:
        self._pool: Any = None
        self._graphs: WeakSet[Any] = WeakSet()

    def record(self, work: Work) -> Recording:
        """Record a graph, after the allocator has given back what it holds: a pool cannot use that."""
        torch.cuda.synchronize()
        torch.cuda.empty_cache()
        if (
            not self._graphs
        ):  # what the last ones of a pool have left cannot be used again, but is given back
            self._pool = torch.cuda.graph_pool_handle()
        graph = torch.cuda.CUDAGraph()
        # The backward pass runs in a thread of its own, and layouts are pinned in others meanwhile.
        with torch.cuda.graph(graph, pool=self._pool, capture_error_mode="thread_local"):
            work()
        self._graphs.add(graph)
        return graph


def recorder_of(device: torch.device) -> Recorder:
    """The recorder of a kind of device."""
    return GraphRecorder() if device.type == "cuda" else RepeatingRecorder()
