"""Projections that share an input, with their low-rank adapters, as few products.

For an input x with frozen weights W (stacked), A (stacked) and B (one block a projection), and the adapter's scale s:

    t = x A',  y = x W' + bias + s t B'

    gt = g B,  gB += s g' t,  gA += s gt' x,  gx = g W + s gt A

Nothing but x and t is kept for the backward pass. The gradients of A and B are added to the adapter's buffer where they
belong, in fp32. On a GPU projections of equal widths (keys and values, gate and up) are one batched product; on a CPU,
where starting an operator costs little, each is a product of its own.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise

import torch
from torch import Tensor
from torch.nn import Linear, Parameter

from lexitrain.step.decoder_layer.frozen_weights import FrozenRows
from lexitrain.step.decoder_layer.kept_memory import joined_into
from lexitrain.step.decoder_layer.kernels import Kernels
from lexitrain.step.update.flat_adapter import FlatAdapter, Part


@dataclass(frozen=True, slots=True, eq=False)
class Projection:
    """A frozen linear layer, with an adapter or without.

    Attributes:
        linear: the base's own.
        down, up: A [rank, inputs] and B [outputs, rank].
        scale: of the adapter.
    """

    linear: Linear
    down: Parameter | None = None
    up: Parameter | None = None
    scale: float = 1.0


@dataclass(frozen=True, slots=True)
class Numbers:
    """The adapter's numbers in the compute dtype, or those of a layer.

    Attributes:
        downs, ups: parts of its buffer in which A and B matrices lie.
        first_down, first_up: where in the buffer these parts begin.
    """

    downs: Tensor
    first_down: int
    ups: Tensor
    first_up: int


class _Tile:
    """Adapted projections of equal widths whose B matrices lie one behind the other: one product, batched."""

    def __init__(self, row: int, inner: int, down: Part, up: Part) -> None:
        self.row, self.inner = row, inner
        self.downs, self.ups = [down], [up]

    @property
    def outputs(self) -> int:
        return self.ups[0].shape[0]

    @property
    def rank(self) -> int:
        return self.ups[0].shape[1]

    def takes(self, row: int, down: Part, up: Part) -> bool:
        """Whether a projection continues this tile."""
        alike = up.shape == self.ups[0].shape and down.shape == self.downs[0].shape
        count = len(self.ups)
        return alike and up.start == self.ups[-1].end and row == self.row + count * self.outputs

    def of_outputs(self, matrix: Tensor) -> Tensor:
        """Its columns of [N, outputs of the group]: [N, outputs], or [projections, N, outputs]."""
        return _columns(matrix, self.row, self.outputs, len(self.ups))

    def of_inner(self, matrix: Tensor) -> Tensor:
        """Its columns of [N, inner numbers of the group], likewise."""
        return _columns(matrix, self.inner, self.rank, len(self.ups))

    def up_of(self, buffer: Tensor, first: int) -> Tensor:
        """B [outputs, rank], or [projections, outputs, rank]."""
        found = buffer[self.ups[0].start - first : self.ups[-1].end - first]
        if len(self.ups) == 1:
            return found.view(self.outputs, self.rank)
        return found.view(-1, self.outputs, self.rank)


class ProjectionGroup:
    """Projections of one input.

    Attributes:
        kernels: of the device.
        adjacent: whether the A matrices lie one behind the other, so that what is taken of them is no copy.

    Args:
        projections: in the order of their outputs.
        flat: where their adapters are.
        kernels: of the device.
    """

    def __init__(
        self, projections: Sequence[Projection], flat: FlatAdapter, kernels: Kernels
    ) -> None:
        self.kernels = kernels
        self._flat = flat
        self._weights = FrozenRows([each.linear.weight for each in projections])
        biases = [each.linear.bias for each in projections]
        self._biases = None if biases[0] is None else FrozenRows(biases)
        self._tiles: list[_Tile] = []
        self._scale = 1.0
        row = inner = 0
        for each in projections:
            if each.down is not None and each.up is not None:
                down, up = flat.part_of(each.down), flat.part_of(each.up)
                assert down is not None
                assert up is not None
                self._scale = each.scale
                self._add_part(row, inner, down, up)
                inner += len(each.down)
            row += each.linear.out_features
        self._inner = inner
        downs = self.downs
        self.adjacent = all(one.end == other.start for one, other in pairwise(downs))
        self._adapter: tuple[Tensor, list[Tensor]] | None = None
        self._keeps = False
        self._joined: Tensor | None = None
        self.prepare_frozen()

    def keep(self) -> None:
        """Let the adapter's numbers have the same memory each time, where they must be brought together."""
        self._keeps = True

    def _add_part(self, row: int, inner: int, down: Part, up: Part) -> None:
        last = self._tiles[-1] if self._tiles and self.kernels.gpu else None
        if last is not None and last.takes(row, down, up):
            last.downs.append(down)
            last.ups.append(up)
        else:
            self._tiles.append(_Tile(row, inner, down, up))

    @property
    def adapted(self) -> bool:
        """Whether any of the projections has an adapter."""
        return bool(self._tiles)

    @property
    def downs(self) -> list[Part]:
        """Where the A matrices lie."""
        return [part for tile in self._tiles for part in tile.downs]

    @property
    def ups(self) -> list[Part]:
        """Where the B matrices lie."""
        return [part for tile in self._tiles for part in tile.ups]

    def prepare_frozen(self) -> None:
        """Find the frozen matrices where they are now."""
        self._weight = self._weights.whole()
        self._bias = None if self._biases is None else self._biases.whole()

    @property
    def places(self) -> tuple[int, ...]:
        """Where the frozen matrices lie."""
        bias = () if self._bias is None else (self._bias.data_ptr(),)
        return (self._weight.data_ptr(), *bias)

    def take(self, numbers: Numbers) -> None:
        """Take the adapter's numbers for the passes that follow."""
        if not self._tiles:
            return
        first = numbers.first_down
        if self.adjacent:
            inside = slice(self.downs[0].start - first, self.downs[-1].end - first)
            down = numbers.downs[inside].view(self._inner, -1)
        else:
            parts = [numbers.downs[each.start - first : each.end - first] for each in self.downs]
            joined = joined_into(self._joined, parts)
            self._joined = joined if self._keeps else None
            down = joined.view(self._inner, -1)
        ups = [tile.up_of(numbers.ups, numbers.first_up) for tile in self._tiles]
        self._adapter = down, ups

    def release(self) -> None:
        """Let go of the adapter's numbers."""
        self._adapter = None

    def forward(self, x: Tensor, residual: Tensor | None = None) -> tuple[Tensor, Tensor | None]:
        """The projections of x, added to a residual stream where there is one; and t.

        Args:
            x: [N, inputs].
            residual: [N, outputs], of groups of one projection.
        """
        if self._adapter is None:
            return self._frozen(x, residual), None
        down, ups = self._adapter
        t = x @ down.T
        if residual is None:
            y = self._frozen(x, None)
            for tile, up in zip(self._tiles, ups, strict=True):
                _add_product(tile.of_outputs(y), tile.of_inner(t), up.mT, self._scale)
            return y, t
        # The residual is joined by the small product, so that its sums are rounded once less.
        (up,) = ups
        y = torch.addmm(residual, t, up.T, alpha=self._scale).addmm_(x, self._weight.T)
        return y if self._bias is None else y.add_(self._bias), t

    def _frozen(self, x: Tensor, residual: Tensor | None) -> Tensor:
        if residual is None:
            if self._bias is None:
                return x @ self._weight.T
            return torch.addmm(self._bias, x, self._weight.T)
        y = torch.addmm(residual, x, self._weight.T)
        return y if self._bias is None else y.add_(self._bias)

    def backward(
        self, gradient: Tensor, x: Tensor | None, t: Tensor | None, *, to_input: bool
    ) -> Tensor | None:
        """Add the gradients of A and B to the adapter's; returns that of x where it is asked for.

        Args:
            gradient: of the result, [N, outputs].
            x, t: as in the forward pass; None without an adapter.
            to_input: whether x needs a gradient.
        """
        if self._adapter is None or x is None or t is None:
            return gradient @ self._weight if to_input else None
        down, ups = self._adapter
        to_inner = gradient.new_empty(len(gradient), self._inner)
        for tile, up in zip(self._tiles, ups, strict=True):
            torch.matmul(tile.of_outputs(gradient), up, out=tile.of_inner(to_inner))
            there = tile.up_of(self._flat.collected(), 0)
            self._add(there, tile.of_outputs(gradient).mT, tile.of_inner(t))
        self._add_downs(to_inner, x)
        if not to_input:
            return None
        return (gradient @ self._weight).addmm_(to_inner, down, alpha=self._scale)

    def _add_downs(self, to_inner: Tensor, x: Tensor) -> None:
        buffer = self._flat.collected()
        if self.adjacent:
            inside = slice(self.downs[0].start, self.downs[-1].end)
            self._add(buffer[inside].view(self._inner, -1), to_inner.T, x)
            return
        start = 0
        for part in self.downs:
            end = start + part.shape[0]
            self._add(part.of(buffer), to_inner[:, start:end].T, x)
            start = end

    def _add(self, there: Tensor, left: Tensor, right: Tensor) -> None:
        if left.dtype == there.dtype:
            _add_product(there, left, right, self._scale)
        else:
            there.add_(self.kernels.product(left, right), alpha=self._scale)


def _add_product(there: Tensor, left: Tensor, right: Tensor, scale: float) -> None:
    """`there += scale * left @ right`, of matrices or of stacks of them."""
    if there.ndim == 2:
        there.addmm_(left, right, alpha=scale)
    else:
        there.baddbmm_(left, right, alpha=scale)


def _columns(matrix: Tensor, start: int, width: int, count: int) -> Tensor:
    """Columns of a matrix, [N, width], or [count, N, width] of as many side by side; never a copy."""
    if count == 1:
        return matrix[:, start : start + width]
    part = matrix[:, start : start + count * width]
    return part.unflatten(1, (count, width)).transpose(0, 1)
