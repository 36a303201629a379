"""Records every allocation and every operation of a micro-batch.

An allocation is a storage that an operation's result brings; it lasts until the last reference to it dies, which is
when the allocator would get it back. What it was for is known afterwards: a storage that outlives the forward pass
was kept for the backward pass, one of the vocabulary's width holds logits, one that holds as many numbers as are
trained, or becomes the gradient of a trained tensor, holds gradients, and everything else is workspace. The record has
one entry an allocation, in order, so that the records of two depths of a model can be laid side by side.
"""

from __future__ import annotations

import weakref
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils.flop_counter import flop_registry, shape_wrapper

from lexitrain.planning.rehearsal.kernels import UNCOUNTED_FLOPS
from lexitrain.planning.rehearsal.operation import Call, flat, storage_key
from lexitrain.planning.rehearsal.rehearsed_step import ARITHMETIC, Kind, Phase
from lexitrain.planning.rehearsal.target import Target
from lexitrain.step import TrainingStep

_CUDA_BLOCK = 512
"""PyTorch's CUDA allocator rounds every request up to this many bytes (c10/cuda/CUDACachingAllocator.cpp)."""

# Names of PyTorch's operators (aten), by what they do.
_LOOKUPS = {"embedding", "index_select", "gather"}
_GATHERS = {*_LOOKUPS, "index_add", "scatter_add_"}
_PRODUCTS = {"mm", "addmm", "addmm_", "bmm", "baddbmm", "baddbmm_"}
PARTS = ("activations", "logits", "gradients", "workspace")
"""What recorded storages are for; the columns of `Recording.parts`."""

_FLOPS = {
    **flop_registry,
    **{operator: shape_wrapper(count) for operator, count in UNCOUNTED_FLOPS.items()},
}


WorkTable = dict[tuple[Kind, Phase], NDArray[np.float64]]
"""(kind, phase) -> [operations of arithmetic, bytes, launches]."""


@dataclass
class _Storage:
    size: int
    born: int
    logits: bool
    forward: bool
    dies: int | None = None
    gradients: bool = False  # of all that is trained
    kept: bool = False  # alive when the forward pass ended
    gradient_from: int | None = None  # of one trained tensor


@dataclass(frozen=True)
class Recording:
    """A micro-batch from empty gradients, as recorded.

    Attributes:
        parts: [allocations, 4]: bytes in use for each of PARTS right after each allocation.
        marks: name -> number of allocations made before it. `forward i`, `backward i`: layer i begins.
        segments: the work after each mark, until the next; views apart.
    """

    parts: NDArray[np.float64]
    marks: dict[str, int]
    segments: dict[str, WorkTable]

    @property
    def work(self) -> WorkTable:
        """All operations but views."""
        return summed(self.segments.values())


def summed(tables: Iterable[WorkTable]) -> WorkTable:
    """The work of several tables, line by line."""
    total: WorkTable = {}
    for table in tables:
        for line, numbers in table.items():
            total[line] = total.get(line, np.zeros(3)) + numbers
    return total


class Recorder(TorchDispatchMode):
    """Watches one micro-batch. Use it as a context, once.

    Args:
        step: the step, begun; the storages of its model and of its adapter's copies are not counted.
        target: CUDA allocations are rounded up to blocks.
    """

    def __init__(self, step: TrainingStep, target: Target) -> None:
        super().__init__()
        model, trained, decoder = step.model, step.parameters, step.decoder
        base = model.get_base_model()
        self._block = _CUDA_BLOCK if target.device == "cuda" else 1
        self._gradient_size = step.adapter.room
        copies = getattr(decoder, "copies", ())
        self._trained = {storage_key(each) for each in (*trained, *copies)}
        self._frozen = {storage_key(each) for each in model.parameters()} - self._trained
        self._known = self._trained | self._frozen | {storage_key(each) for each in model.buffers()}
        self._head = storage_key(base.get_output_embeddings().weight)
        self._vocabulary = base.config.vocab_size
        self._restored: set[int] = set()
        self._storages: list[_Storage] = []
        self._numbers: dict[int, int] = {}
        self._references: dict[int, Any] = {}
        self._phase: Phase = "forward"
        self._marks: dict[str, int] = {}
        self._work: WorkTable = {}
        self._segments: dict[str, WorkTable] = {"begin": self._work}
        self._entries: dict[Any, tuple[Kind | None, NDArray[np.float64]]] = {}
        self._hooks = [
            *self._mark_layers(decoder),
            *(each.register_post_accumulate_grad_hook(self._has_gradient) for each in trained),
        ]

    @classmethod
    def _should_skip_dynamo(cls) -> bool:
        # Nothing here is ever compiled, and keeping dynamo out would cost time at every operation.
        return False

    def recording(self) -> Recording:
        """What was seen. Storages that are still alive live to the end."""
        for hook in self._hooks:
            hook.remove()
        self._references.clear()
        count = len(self._storages)
        parts = np.zeros((count + 1, len(PARTS)))
        for each in self._storages:
            end = count if each.dies is None else each.dies
            if each.gradient_from is None:
                spans = [(_part(each), each.born, end)]
            else:
                spans = [
                    ("workspace", each.born, each.gradient_from),
                    ("gradients", each.gradient_from, end),
                ]
            for part, start, stop in spans:
                parts[start, PARTS.index(part)] += each.size
                parts[stop, PARTS.index(part)] -= each.size
        return Recording(parts.cumsum(axis=0)[:-1], self._marks, self._segments)

    def __torch_dispatch__(
        self, func: Any, types: Any, args: tuple[Any, ...] = (), kwargs: Any = None
    ) -> Any:
        kwargs = kwargs or {}
        # Autograd numbers its running backward pass; -1 while there is none.
        if self._phase == "forward" and torch._C._current_graph_task_id() >= 0:
            self._end_forward()
        if func not in _passing:
            _passing[func] = func.is_view or func.namespace in {"profiler", "prim"}
        if _passing[func]:  # allocates nothing and computes nothing
            return func(*args, **kwargs)
        call = Call(func, args, kwargs)
        result = call.result()
        taken = [each for each in flat(result) if isinstance(each, Tensor)]
        self._count(call, result, taken)
        for each in taken:
            self._allocated(each)
        return result

    # Marks

    def _mark_layers(self, backbone: Any) -> Iterator[Any]:
        """Hooks that note where each layer begins, forward and backward.

        The backward pass of a layer begins when the gradient of its output is known, which is the next layer's input.
        """
        if not hasattr(backbone, "layers") or not hasattr(backbone, "norm"):
            return
        blocks = [*backbone.layers, backbone.norm]
        for number, block in enumerate(blocks):

            def begins(_: Any, args: tuple[Any, ...], number: int = number) -> None:
                if self._phase == "backward":
                    return  # recomputation
                self._mark(f"forward {number}")
                if number and args[0].requires_grad:
                    args[0].register_hook(lambda _: self._mark(f"backward {number - 1}"))

            yield block.register_forward_pre_hook(begins)

    def _mark(self, name: str) -> None:
        self._marks[name] = len(self._storages)
        self._work = self._segments.setdefault(name, {})

    def _has_gradient(self, parameter: Tensor) -> None:
        """A layer of the base's own code has given one of the trained tensors a gradient of its own."""
        if parameter.grad is not None:
            number = self._numbers[storage_key(parameter.grad)]
            self._storages[number].gradient_from = len(self._storages)

    # Memory

    def _allocated(self, tensor: Tensor) -> None:
        storage = tensor.untyped_storage()
        key = storage._cdata
        if tensor.device.type != "meta" or key in self._known or key in self._numbers:
            return
        number = len(self._storages)
        size = -(-storage.nbytes() // self._block) * self._block
        wide = tensor.ndim > 0 and tensor.shape[-1] == self._vocabulary
        self._storages.append(
            _Storage(
                size, number, wide, self._phase == "forward", gradients=self._holds_all(tensor)
            )
        )
        self._numbers[key] = number

        # The storage's address is its key, and a later storage may get the same one: it is forgotten at once.
        def freed(_: Any) -> None:
            self._storages[number].dies = len(self._storages)
            del self._numbers[key]
            self._restored.discard(key)
            self._references.pop(number, None)

        self._references[number] = weakref.ref(storage, freed)

    def _holds_all(self, tensor: Tensor) -> bool:
        return tensor.ndim == 1 and len(tensor) == self._gradient_size

    # Work

    def _count(self, call: Call, result: Any, taken: list[Tensor]) -> None:
        """Add the operation to its line of work.

        Equal calls on tensors of equal shapes and roles are worked out once. The cache lives as long as this recorder:
        what an operation is for depends on the model's vocabulary.
        """
        keys = [storage_key(each) for each in call.given]
        roles = tuple(self._role(key) for key in keys)
        known = None if call.form is None else (call.func, call.form, roles)
        entry = self._entries.get(known) if known else None
        if entry is None:
            entry = self._entry(call, result, taken, roles)
            if known:
                self._entries[known] = entry
        kind, numbers = entry
        if kind is None:
            return
        if kind == "quantization":
            self._restored.add(storage_key(taken[0]))
        line = (kind, self._phase)
        if line in self._work:
            self._work[line] += numbers
        else:
            self._work[line] = numbers.copy()

    def _role(self, key: int) -> str:
        if key == self._head:
            return "head"
        if key in self._frozen or key in self._restored:
            return "frozen"
        return "trained" if key in self._trained else ""

    def _entry(
        self, call: Call, result: Any, taken: list[Tensor], roles: tuple[str, ...]
    ) -> tuple[Kind | None, NDArray[np.float64]]:
        """What an operation is for and its [arithmetic, bytes, launches]."""
        func, given = call.func, call.given
        name: str = func.overloadpacket.__name__
        kind = self._kind(name, given, taken, set(roles))
        if kind is None:
            return None, np.zeros(3)
        if kind in ARITHMETIC and func.overloadpacket in _FLOPS:
            # The counter of batched products does not know those whose result is of another type.
            arguments = call.args[:2] if func._overloadname == "dtype" else call.args
            flops = _FLOPS[func.overloadpacket](*arguments, **call.kwargs, out_val=result)
        else:
            flops = max((each.numel() for each in taken), default=0)
        # A lookup reads the rows that it takes, not the table; a scattered sum touches as much as it adds.
        if name in _LOOKUPS:
            given = taken
        elif name == "scatter_add_":
            given = taken = given[1:]
        moved = sum(_moved(each) for each in (*given, *taken))
        return kind, np.array([flops, moved, 1], dtype=np.float64)

    def _end_forward(self) -> None:
        self._phase = "backward"
        self._mark("backward")
        for number in self._numbers.values():
            self._storages[number].kept = self._storages[number].forward

    def _kind(
        self, name: str, given: list[Tensor], taken: list[Tensor], roles: set[str]
    ) -> Kind | None:
        """What an operation is for; None for one that does nothing on a device."""
        wide = any(each.ndim and each.shape[-1] == self._vocabulary for each in (*given, *taken))
        kind: Kind | None = "embedding" if name in _GATHERS else "elementwise"
        if name.startswith(("empty", "new_empty", "lift_fresh")):
            kind = None
        elif name == "zeros" and self._holds_all(taken[0]):
            kind = None  # once a step: the update's work has it
        elif "attention" in name:
            kind = "attention"
        elif name == "restored_4bit":
            kind = "quantization"
        elif name not in _GATHERS and ("head" in roles or wide):
            kind = "head"
        elif name in _PRODUCTS:
            kind = "matmul" if "frozen" in roles else "adapter"
        elif "trained" in roles:
            kind = "adapter"
        return kind


_passing: dict[Any, bool] = {torch.ops.aten.detach.default: True}
"""Operator -> whether it only gives a view, or is no operation of the device. Asked at every operation, and PyTorch
works `is_view` out anew each time, from the operator's schema."""


def _part(storage: _Storage) -> str:
    if storage.gradients:
        return "gradients"
    if storage.logits:
        return "logits"
    return "activations" if storage.kept else "workspace"


def _moved(tensor: Tensor) -> int:
    """Bytes of a tensor that a kernel reads or writes; an expanded one is read from what is there."""
    numbers = 1
    for size, stride in zip(tensor.shape, tensor.stride(), strict=True):
        numbers *= size if stride else min(size, 1)
    return numbers * tensor.element_size()
