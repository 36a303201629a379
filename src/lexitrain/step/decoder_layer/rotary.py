"""Heads, and rotary embeddings (Su et al. 2021, arXiv:2104.09864) with tables that are made once a cut.

A head's first and second half are the two coordinates of its planes, as the Llama family stores them, so that
turning is `x cos + roll(x) sin` with the sine of the first half negative. Its transpose has the opposite sines.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

from lexitrain.step.decoder_layer.kept_memory import joined_into


@dataclass(frozen=True, slots=True)
class Rotary:
    """The tables of a cut, [B, L, 1, head size], of the dtype of the states; the sines' first half is negated."""

    cosines: Tensor
    sines: Tensor

    def turn_(self, states: Tensor) -> None:
        """Turn states [B, L, heads, head size] in place."""
        rolled = torch.roll(states, states.shape[-1] // 2, -1)
        states.mul_(self.cosines).addcmul_(rolled, self.sines)

    def turn_back_(self, gradient: Tensor) -> None:
        """The gradient of turned states becomes that of the states, in place."""
        rolled = torch.roll(gradient, gradient.shape[-1] // 2, -1)
        gradient.mul_(self.cosines).addcmul_(rolled, self.sines, value=-1)


@dataclass(slots=True, eq=False)
class Heads:
    """How a layer divides its queries, keys and values.

    Attributes:
        queries, keys: heads of each.
        size: numbers in a head.
        epsilon: of the RMSNorm over each query and key head; None in families that have none.
        query_weight, key_weight: its weights [size].
    """

    queries: int
    keys: int
    size: int
    epsilon: float | None = None
    query_weight: Tensor | None = None
    key_weight: Tensor | None = None
    _weights: Tensor | None = None

    @property
    def weights(self) -> Tensor:
        """The norms' weights of all query and key heads, [queries + keys, size], as `prepare` took them."""
        assert self._weights is not None
        return self._weights

    @property
    def group(self) -> int:
        """Query heads that share a key head."""
        return self.queries // self.keys

    @property
    def places(self) -> tuple[int, ...]:
        """Where the norms' weights lie; after `prepare`."""
        return () if self._weights is None else (self._weights.data_ptr(),)

    def prepare(self) -> None:
        """Take the weights of the norms as they are now, into the same memory each time."""
        if self.query_weight is not None and self.key_weight is not None:
            query, key = self.query_weight.detach(), self.key_weight.detach()
            parts = [query.expand(self.queries, -1), key.expand(self.keys, -1)]
            self._weights = joined_into(self._weights, parts)


class RotaryTables:
    """Makes the tables by the base's own frequencies.

    Attributes:
        fixed: whether a position's frequencies depend on nothing else.

    Args:
        own: the base's own module.
    """

    def __init__(self, own: Any) -> None:
        self._own = own
        kind = str(own.rope_type)
        # Frequencies that depend on what else is in the batch are the module's own business.
        self.fixed = "dynamic" not in kind and kind != "longrope" and own.attention_scaling == 1
        self._signed: Tensor | None = None

    @property
    def places(self) -> tuple[int, ...]:
        """Where the frequencies lie; after `prepare`."""
        return () if self._signed is None else (self._signed.data_ptr(),)

    def prepare(self) -> None:
        """Take the frequencies as they are now, into the same memory each time."""
        if self.fixed:
            frequencies = self._own.inv_freq.float()
            self._signed = joined_into(self._signed, [-frequencies, frequencies])

    def of(self, hidden: Tensor, positions: Tensor) -> Rotary:
        """The tables for positions [B, L], for states like `hidden`."""
        if self._signed is None:
            cosines, sines = self._own(hidden, positions)
            first, second = sines.chunk(2, -1)
            sines = torch.cat([-first, second], -1)
        else:
            angles = positions[..., None] * self._signed
            cosines, sines = angles.cos().to(hidden.dtype), angles.sin().to(hidden.dtype)
        return Rotary(cosines.unsqueeze(2), sines.unsqueeze(2))
