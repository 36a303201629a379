"""All trained tensors in one buffer and their gradients in another, so that a step handles one tensor instead of many.

The model's parameters are views of the buffer: who reads or writes them sees no difference. Their gradients are views
of the other one, which exists from the first backward pass of a step until the gradients are dropped, so that its
memory is free where the output head needs most. Where work is recorded that adds to it, its memory is kept.

A layout may ask that a tensor begins at a multiple of some number of elements. Gradients of what lies in between are
zero, so that it adds nothing to a norm; nothing reads its values.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor
from torch.nn import Parameter


@dataclass(frozen=True, slots=True)
class Part:
    """Where a trained tensor lies in the buffer.

    Attributes:
        start, end: of its numbers.
        shape: of the tensor.
    """

    start: int
    end: int
    shape: torch.Size

    def of(self, buffer: Tensor) -> Tensor:
        """The tensor's view of a buffer that is laid out like this."""
        return buffer[self.start : self.end].view(self.shape)


class FlatAdapter:
    """The trained tensors of one model and their gradients.

    Attributes:
        parameters: the trained tensors in their order, all fp32 and on one device.
        parts: where each of them lies.
        gradient: of all of them, or None while there is none.

    Args:
        parameters: their values are moved into the buffer.
        multiples: elements at a multiple of which each tensor begins; 1 where not given.
    """

    def __init__(
        self, parameters: Sequence[Parameter], multiples: Sequence[int] | None = None
    ) -> None:
        self.parameters = list(parameters)
        self.parts: list[Part] = []
        end = 0
        for each, multiple in zip(
            self.parameters, multiples or [1] * len(self.parameters), strict=True
        ):
            start = -(-end // multiple) * multiple
            end = start + each.numel()
            self.parts.append(Part(start, end, each.shape))
        self.size = end
        self._part_of = {
            id(each): part for each, part in zip(self.parameters, self.parts, strict=True)
        }
        self.gradient: Tensor | None = None
        self._room: Tensor | None = None
        self._views: list[Tensor] = []
        self._kept = False
        self._values = self._gathered()

    @property
    def values(self) -> Tensor:
        """The trained numbers, [size], fp32. Tensors that were given other memory since are taken in again."""
        home = self._values.untyped_storage()._cdata
        if any(each.untyped_storage()._cdata != home for each in self.parameters):
            self._values = self._gathered()
        return self._values

    def part_of(self, parameter: Parameter) -> Part | None:
        """Where a tensor lies; None for one that is not trained."""
        return self._part_of.get(id(parameter))

    def known_part(self, parameter: Parameter) -> Part:
        """Where one of the trained tensors lies."""
        return self._part_of[id(parameter)]

    def collected(self) -> Tensor:
        """The gradient, [size], fp32: there from now on, zero where no backward pass has come by."""
        if self.gradient is None:
            if self._room is None:
                # One number more than are trained: what processes sum together with the gradient.
                self._room = torch.zeros(
                    self.room, dtype=self._values.dtype, device=self._values.device
                )
            else:
                self._room.zero_()
            self.gradient = self._room[: self.size]
            self.point()
        return self.gradient

    @property
    def place(self) -> int:
        """Where the gradient lies, while there is one."""
        return 0 if self.gradient is None else self.gradient.data_ptr()

    @property
    def room(self) -> int:
        """How many numbers the buffer of the gradients holds."""
        return self.size + 1

    def beside(self, number: Tensor) -> Tensor:
        """The buffer of the gradient, [room], with a scalar in its last place."""
        self.collect()
        assert self._room is not None
        self._room[-1] = number
        return self._room

    def point(self) -> None:
        """Every tensor has a gradient: its part of the buffer."""
        gradient = self.collected()
        if not self._views:
            self._views = [part.of(gradient) for part in self.parts]
        for each, view in zip(self.parameters, self._views, strict=True):
            each.grad = view

    def drop(self) -> None:
        """Let go of the gradient, and of its memory unless that is kept."""
        self.gradient = None
        if not self._kept:
            self._room, self._views = None, []
        for each in self.parameters:
            each.grad = None

    def keep(self) -> None:
        """Let every later gradient have the same memory."""
        self._kept = True

    def collect(self) -> Tensor:
        """The gradient, [size], with what autograd has left at single tensors moved in.

        A tensor that no backward pass has come by keeps none, so that an update leaves it alone.
        """
        found = [each.grad for each in self.parameters]
        buffer = self.collected()
        for each, part, gradient in zip(self.parameters, self.parts, found, strict=True):
            if gradient is None:
                each.grad = None
            elif not _in(gradient, buffer):
                each.grad = part.of(buffer).copy_(gradient)
        return buffer

    def _gathered(self) -> Tensor:
        first = self.parameters[0]
        values = torch.zeros(self.size, dtype=first.dtype, device=first.device)
        for each, part in zip(self.parameters, self.parts, strict=True):
            view = part.of(values)
            view.copy_(each.data)
            each.data = view
        return values


def adapter_order(name: str) -> int:
    """What a tensor is sorted by, so that the A matrices of projections side by side in a layer are so here too."""
    return int("lora_B" in name)


def _in(tensor: Tensor, buffer: Tensor) -> bool:
    return tensor.untyped_storage()._cdata == buffer.untyped_storage()._cdata
