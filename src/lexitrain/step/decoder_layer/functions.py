"""The parts of a decoder layer as functions of autograd that keep as little as their backward passes need.

Gradients of the adapter are no results of these backward passes: they are added where they belong. So a function is
recorded for a tensor alone that asks for gradients; where the input of the first adapted layer does not, an *anchor*
without content does.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor

if TYPE_CHECKING:
    from lexitrain.step.decoder_layer.kernels import Kernels
    from lexitrain.step.decoder_layer.projection_group import ProjectionGroup
    from lexitrain.step.decoder_layer.rotary import Heads, Rotary


@dataclass(frozen=True, slots=True, eq=False)
class Norm:
    """A frozen RMSNorm.

    Attributes:
        weight: [size].
        epsilon: added to the mean square.
        kernels: of the device.
    """

    weight: Tensor
    epsilon: float
    kernels: Kernels

    def forward(self, x: Tensor) -> tuple[Tensor, Tensor]:
        """The result, and what the backward pass needs besides x."""
        return self.kernels.normalized(x, self.weight, self.epsilon)

    def backward(self, gradient: Tensor, x: Tensor, inverse: Tensor) -> Tensor:
        """Gradient of x."""
        return self.kernels.normalized_gradient(gradient.contiguous(), x, inverse, self.weight)


class Normalized(torch.autograd.Function):
    """RMSNorm of x [..., size]."""

    @staticmethod
    def forward(ctx: Any, x: Tensor, norm: Norm) -> Tensor:
        """Keeps x and a number a row."""
        result, inverse = norm.forward(x)
        ctx.norm = norm
        ctx.save_for_backward(x, inverse)
        return result

    @staticmethod
    def backward(ctx: Any, *gradients: Tensor) -> tuple[Tensor | None, ...]:
        """The gradient of x."""
        return ctx.norm.backward(gradients[0], *ctx.saved_tensors), None


class AttentionInputs(torch.autograd.Function):
    """Queries, keys and values of x [B, L, hidden], normed where the family does so, and turned.

    Returns queries [B, heads, L, size] and keys and values [B, key heads, L, size], views of one buffer. `spread` makes
    them [key heads, group, L, size] instead, keys and values repeated without a copy, for rows alone (B = 1). `done` is
    called after the backward pass, which is the last of a layer.
    """

    @staticmethod
    def forward(
        ctx: Any,
        x: Tensor,
        _anchor: Tensor | None,
        group: ProjectionGroup,
        heads: Heads,
        rotary: Rotary,
        spread: bool,
        done: Callable[[], None],
    ) -> tuple[Tensor, Tensor, Tensor]:
        """Keeps x, t and, where heads are normed, them before that."""
        rows, length, _ = x.shape
        flat = x.view(rows * length, -1)
        y, t = group.forward(flat)
        y = y.view(rows, length, -1, heads.size)
        turned, value, before = group.kernels.turned(y, heads, rotary)
        adapted = group.adapted
        ctx.save_for_backward(x if adapted else None, t, *before)
        ctx.group, ctx.heads, ctx.rotary, ctx.spread = group, heads, rotary, spread
        ctx.rows, ctx.done = (rows, length), done
        query, key = turned[:, :, : heads.queries], turned[:, :, heads.queries :]
        if not spread:
            return query.transpose(1, 2), key.transpose(1, 2), value.transpose(1, 2)
        shape = heads.keys, heads.group, length, heads.size
        return (
            query.view(length, heads.keys, heads.group, heads.size).permute(1, 2, 0, 3),
            key[0].transpose(0, 1)[:, None].expand(shape),
            value[0].transpose(0, 1)[:, None].expand(shape),
        )

    @staticmethod
    def backward(ctx: Any, *gradients: Tensor) -> tuple[Tensor | None, ...]:
        """The gradient of x."""
        x, t, *before = ctx.saved_tensors
        rows, length = ctx.rows
        found = ctx.group.kernels.turned_gradient(
            gradients, ctx.heads, ctx.rotary, before, spread=ctx.spread
        )
        to_input = ctx.group.backward(
            found.view(rows * length, -1),
            None if x is None else x.view(rows * length, -1),
            t,
            to_input=ctx.needs_input_grad[0],
        )
        ctx.done()
        if to_input is not None:
            to_input = to_input.view(rows, length, -1)
        return to_input, None, None, None, None, None, None


class Projected(torch.autograd.Function):
    """`residual` and a projection of x; both [B, L, ...]."""

    @staticmethod
    def forward(
        ctx: Any, x: Tensor, residual: Tensor, _anchor: Tensor | None, group: ProjectionGroup
    ) -> Tensor:
        """Keeps x and t."""
        flat = x.reshape(-1, x.shape[-1])
        y, t = group.forward(flat, residual.view(-1, residual.shape[-1]))
        ctx.save_for_backward(flat if group.adapted else None, t)
        ctx.group, ctx.shape = group, x.shape
        return y.view(residual.shape)

    @staticmethod
    def backward(ctx: Any, *gradients: Tensor) -> tuple[Tensor | None, ...]:
        """The gradients of x and residual."""
        (gradient,) = gradients
        flat = gradient.reshape(-1, gradient.shape[-1])
        found = ctx.group.backward(flat, *ctx.saved_tensors, to_input=ctx.needs_input_grad[0])
        if found is not None:
            found = found.view(ctx.shape)
        return found, gradient if ctx.needs_input_grad[1] else None, None, None


class FeedForward(torch.autograd.Function):
    """`residual` and SwiGLU (Shazeer 2020, arXiv:2002.05202) of x: down(silu(gate x) * up x); all [B, L, hidden]."""

    @staticmethod
    def forward(
        ctx: Any,
        x: Tensor,
        residual: Tensor,
        _anchor: Tensor | None,
        gate_up: ProjectionGroup,
        down: ProjectionGroup,
    ) -> Tensor:
        """Keeps x, both inner ones and the halves before the activation; what follows from these is computed again."""
        flat = x.view(-1, x.shape[-1])
        wide, inner = gate_up.forward(flat)
        y, last = down.forward(gate_up.kernels.gated(wide), residual.view(flat.shape))
        ctx.save_for_backward(flat if gate_up.adapted else None, inner, wide, last)
        ctx.gate_up, ctx.down, ctx.shape = gate_up, down, x.shape
        return y.view(x.shape)

    @staticmethod
    def backward(ctx: Any, *gradients: Tensor) -> tuple[Tensor | None, ...]:
        """The gradients of x and residual."""
        (gradient,) = gradients
        x, inner, wide, last = ctx.saved_tensors
        kernels = ctx.gate_up.kernels
        parts = kernels.gated_again(wide)
        to_product = ctx.down.backward(
            gradient.reshape(-1, gradient.shape[-1]), parts[0], last, to_input=True
        )
        to_wide = kernels.gated_gradient(to_product, wide, parts)
        del to_product
        found = ctx.gate_up.backward(to_wide, x, inner, to_input=ctx.needs_input_grad[0])
        if found is not None:
            found = found.view(ctx.shape)
        return found, gradient if ctx.needs_input_grad[1] else None, None, None, None
