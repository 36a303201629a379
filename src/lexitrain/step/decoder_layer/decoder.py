"""The layers of a known decoder, computed in few operators; the numbers are those of the base's own code to rounding.

It stands beside the base, which is not changed: generation, the comparison with the plain loss and whatever else calls
the base goes the base's own way.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor, nn
from torch.utils.checkpoint import checkpoint

from lexitrain.models import attend_in_tiles
from lexitrain.step.decoder_layer.functions import (
    AttentionInputs,
    FeedForward,
    Norm,
    Normalized,
    Projected,
)
from lexitrain.step.decoder_layer.projection_group import Numbers
from lexitrain.step.decoder_layer.rotary import Heads, Rotary, RotaryTables

if TYPE_CHECKING:
    from lexitrain.step.attention import BatchMasks, BatchTensors
    from lexitrain.step.decoder_layer.kernels import Kernels
    from lexitrain.step.decoder_layer.projection_group import ProjectionGroup
    from lexitrain.step.update.flat_adapter import FlatAdapter


@dataclass(frozen=True, slots=True, eq=False)
class Cut:
    """What all layers of a micro-batch share.

    Attributes:
        masks: who sees whom.
        rotary: the tables of its positions.
        anchor: asks for gradients where no input does.
        values: the adapter's buffer, for layers that take their part of it.
    """

    masks: BatchMasks
    rotary: Rotary
    anchor: Tensor
    values: Tensor


@dataclass(frozen=True, slots=True, eq=False)
class LayerParts:
    """What a decoder layer consists of.

    Attributes:
        own: the base's own layer.
        heads, window, scale: of its attention.
        first, second: the norms before attention and before the feed-forward part.
        inputs, output, gate_up, down: its projections.
    """

    own: Any
    heads: Heads
    window: int | None
    scale: float
    first: Norm
    second: Norm
    inputs: ProjectionGroup
    output: ProjectionGroup
    gate_up: ProjectionGroup
    down: ProjectionGroup

    @property
    def groups(self) -> tuple[ProjectionGroup, ...]:
        """All its projections."""
        return self.inputs, self.output, self.gate_up, self.down


class DecoderLayer(nn.Module):
    """One layer: attention and feed-forward part, each added to the residual stream."""

    def __init__(self, parts: LayerParts, kernels: Kernels) -> None:
        super().__init__()
        self.parts = parts
        self._kernels = kernels

    def forward(self, hidden: Tensor, cut: Cut) -> Tensor:
        """Hidden states [B, L, hidden] after the layer; recomputed in the backward pass where the base is set so."""
        if not (self.recomputes and torch.is_grad_enabled()):
            return self._computed(hidden, cut)
        found: Any = checkpoint(
            self._taken_and_computed, hidden, cut, use_reentrant=False, preserve_rng_state=False
        )
        self._release()
        return found

    @property
    def recomputes(self) -> bool:
        """Whether the base is set to compute activations again, as the layer of its own says."""
        return bool(self.parts.own.gradient_checkpointing)

    def take(self, values: Tensor, dtype: torch.dtype) -> None:
        """Take the layer's own part of the adapter.

        Args:
            values: the adapter's buffer.
            dtype: of the computation.
        """
        downs = [part for group in self.parts.groups for part in group.downs]
        ups = [part for group in self.parts.groups for part in group.ups]
        if not downs:
            return
        first_down, first_up = min(each.start for each in downs), min(each.start for each in ups)
        numbers = Numbers(
            values[first_down : max(each.end for each in downs)].to(dtype),
            first_down,
            values[first_up : max(each.end for each in ups)].to(dtype),
            first_up,
        )
        for group in self.parts.groups:
            group.take(numbers)

    def _taken_and_computed(self, hidden: Tensor, cut: Cut) -> Tensor:
        """A pass that holds its part of the adapter no longer than it lasts, or its backward pass."""
        self.take(cut.values, cut.masks.dtype)
        return self._computed(hidden, cut)

    def _release(self) -> None:
        if self.recomputes:
            for group in self.parts.groups:
                group.release()

    def _computed(self, hidden: Tensor, cut: Cut) -> Tensor:
        parts = self.parts
        mask = cut.masks.mask(parts.window)
        spread = self._kernels.gpu and isinstance(mask, Tensor) and len(hidden) == 1
        query, key, value = _applied(
            AttentionInputs,
            _applied(Normalized, hidden, parts.first),
            cut.anchor if parts.inputs.adapted else None,
            parts.inputs,
            parts.heads,
            cut.rotary,
            spread,
            self._release,
        )
        seen = self._attended(query, key, value, mask, spread)
        hidden = _applied(
            Projected, seen, hidden, cut.anchor if parts.output.adapted else None, parts.output
        )
        adapted = parts.gate_up.adapted or parts.down.adapted
        return _applied(
            FeedForward,
            _applied(Normalized, hidden, parts.second),
            hidden,
            cut.anchor if adapted else None,
            parts.gate_up,
            parts.down,
        )

    def _attended(
        self, query: Tensor, key: Tensor, value: Tensor, mask: Any, spread: bool
    ) -> Tensor:
        """Attention [B, L, heads x size]."""
        scale = self.parts.scale
        functional = nn.functional  # its attention is exchanged in rehearsals
        if spread:
            found = functional.scaled_dot_product_attention(
                query, key, value, attn_mask=mask, scale=scale
            )
            return found.permute(2, 0, 1, 3).reshape(1, found.shape[2], -1)
        if not isinstance(mask, Tensor):
            if hasattr(mask, "attend"):
                found = mask.attend(query, key, value, scale)
            else:
                found = attend_in_tiles(query, key, value, mask, scale)
        elif self._kernels.gpu:
            # The kernel takes no grouped heads beside a mask.
            group = self.parts.heads.group
            key, value = (each.repeat_interleave(group, 1) for each in (key, value))
            found = functional.scaled_dot_product_attention(
                query, key, value, attn_mask=mask, scale=scale
            )
        else:
            found = functional.scaled_dot_product_attention(
                query, key, value, attn_mask=mask, scale=scale, enable_gqa=True
            )
        return found.transpose(1, 2).flatten(2)


class FinalNorm(nn.Module):
    """The norm after the last layer."""

    def __init__(self, norm: Norm) -> None:
        super().__init__()
        self._norm = norm

    def forward(self, hidden: Tensor) -> Tensor:
        """Normed hidden states, of the same shape."""
        return _applied(Normalized, hidden, self._norm)


class Decoder(nn.Module):
    """All layers of a known base, with its embedding and its last norm.

    Args:
        embedding: of the tokens, the base's own.
        rotary: the base's own.
        layers: what each layer consists of.
        norm: the last one.
        flat: the adapter.
        kernels: of the device.
        dtype: in which the base computes.
    """

    def __init__(
        self,
        embedding: Any,
        rotary: Any,
        layers: Sequence[LayerParts],
        norm: Norm,
        flat: FlatAdapter,
        kernels: Kernels,
        dtype: torch.dtype,
    ) -> None:
        super().__init__()
        # In a tuple, so that they do not become parts of this module too.
        self._embedding = (embedding,)
        self._rotary = RotaryTables(rotary)
        self._flat = flat
        self._dtype = dtype
        self._anchor = torch.zeros((), device=flat.values.device, requires_grad=True)
        self._layers = [DecoderLayer(parts, kernels) for parts in layers]
        self.layers = nn.ModuleList(self._layers)
        self.norm = FinalNorm(norm)
        self._values = flat.values
        self._groups = [group for parts in layers for group in parts.groups]
        self._copying = [group for group in self._groups if not group.adjacent]
        norms = [norm, *(each for parts in layers for each in (parts.first, parts.second))]
        self._norms = [each.weight for each in norms]
        self.copies: list[Tensor] = []
        self._kept: Tensor | None = None
        self._keeps = False
        self._held: Tensor | None = None  # kept memory of which all groups have their views

    def keep(self) -> None:
        """Let the adapter's numbers in the compute dtype have the same memory in every step."""
        self._keeps = True
        for group in self._groups:
            group.keep()

    @property
    def recordable(self) -> bool:
        """Whether all that is computed is decided by the sizes of its inputs."""
        return self._rotary.fixed

    @property
    def places(self) -> tuple[int, ...]:
        """Where the numbers lie that it reads besides its inputs; after `prepare`."""
        held: list[Any] = [
            *self._groups,
            self._rotary,
            *(each.parts.heads for each in self._layers),
        ]
        single = [self._values, self._kept, self._anchor, self._embedding[0].weight, *self._norms]
        return (
            *(place for each in held for place in each.places),
            *(each.data_ptr() for each in single if each is not None),
        )

    def prepare(self, *, training: bool) -> None:
        """Take the adapter's numbers, in the compute dtype, for the passes that follow.

        Args:
            training: whether gradients are asked for.
        """
        self._values = self._flat.values
        for layer in self._layers:
            layer.parts.heads.prepare()
            for group in layer.parts.groups:
                group.prepare_frozen()
        self._rotary.prepare()
        if any(layer.recomputes for layer in self._layers) and training:
            self._held = None
            return  # every layer takes its own part, as long as it needs it
        taken = self._taken()
        self.copies = [] if taken is self._values else [taken]
        numbers = Numbers(taken, 0, taken, 0)
        for group in self._copying if taken is self._held else self._groups:
            group.take(numbers)
        self._held = taken if self._keeps else None

    def _taken(self) -> Tensor:
        if not self._keeps or self._values.dtype == self._dtype:
            return self._values.to(self._dtype)
        if self._kept is None:
            self._kept = torch.empty_like(self._values, dtype=self._dtype)
        return self._kept.copy_(self._values)

    def release(self) -> None:
        """Let go of what `prepare` has taken."""
        self.copies = []
        if self._held is None:
            for group in self._groups:
                group.release()

    def forward(self, tensors: BatchTensors, masks: BatchMasks) -> Tensor:
        """The last hidden states [B, L, hidden] of a micro-batch."""
        hidden = self._embedding[0](tensors.tokens)
        cut = Cut(masks, self._rotary.of(hidden, tensors.positions), self._anchor, self._values)
        for layer in self.layers:
            hidden = layer(hidden, cut)
        return self.norm(hidden)


def _applied(function: type[torch.autograd.Function], *arguments: Any) -> Any:
    return function.apply(*arguments)  # pyright: ignore[reportUnknownMemberType]
