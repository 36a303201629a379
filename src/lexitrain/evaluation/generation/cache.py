"""Keys and values of what has been read, in buffers of the final size, and a forward pass that adds to them.

Concatenating them anew at each token costs more than a small model does.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache
from inspect import signature
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from transformers.cache_utils import Cache, DynamicLayer

from lexitrain.models import masked_by


@dataclass(frozen=True, slots=True)
class Visible:
    """Who sees whom in a forward pass; the masks that the base's layers ask for.

    Attributes:
        seen: bool [B, Q, K].
        queries: [B, Q], their positions.
        keys: [B, K], those of what stands in the cache.
    """

    seen: Tensor
    queries: Tensor
    keys: Tensor

    def mask(self, window: int | None) -> Tensor:
        """Bool [B, 1, Q, K], for layers that see the nearest `window` positions or all."""
        if window is None:
            return self.seen[:, None]
        near = self.queries[:, :, None] - self.keys[:, None, :] < window
        return (self.seen & near)[:, None]


def forward(model: Any, tokens: Tensor, visible: Visible, cache: Cache) -> Tensor:
    """Logits `[B, vocabulary]` after the last of `tokens [B, Q]`; the cache grows by Q."""
    with masked_by(visible):
        output = model(
            input_ids=tokens,
            position_ids=visible.queries,
            use_cache=True,
            logits_to_keep=1,
            **{_cache_argument(model): cache},
        )
    return output.logits[:, -1]


def _cache_argument(model: Any) -> str:
    base = model.get_base_model() if hasattr(model, "get_base_model") else model
    return _cache_name(type(base))


@lru_cache(maxsize=8)
def _cache_name(family: type) -> str:
    """What a family's forward calls its cache: transformers 5.24 renamed it, and warns about the old name."""
    known = signature(family.forward).parameters
    return "cache" if "cache" in known else "past_key_values"


class _Buffer(DynamicLayer):
    """Keys and values of one layer in buffers of a fixed capacity."""

    def __init__(self, capacity: int) -> None:
        super().__init__()
        self.capacity = capacity
        self.length = 0

    def _allocate(self, keys: Tensor, values: Tensor) -> None:
        rows, heads, _, width = keys.shape
        self.dtype, self.device = keys.dtype, keys.device
        self.key_buffer = keys.new_empty(rows, heads, self.capacity, width)
        self.value_buffer = values.new_empty(rows, heads, self.capacity, values.shape[-1])
        self.is_initialized = True

    def update(
        self, key_states: Tensor, value_states: Tensor, *_args: Any, **_options: Any
    ) -> tuple[Tensor, Tensor]:
        if not self.is_initialized:
            self._allocate(key_states, value_states)
        end = self.length + key_states.shape[-2]
        self.key_buffer[:, :, self.length : end] = key_states
        self.value_buffer[:, :, self.length : end] = value_states
        return self._show(end)

    def _show(self, length: int) -> tuple[Tensor, Tensor]:
        self.length = length
        self.keys = self.key_buffer[:, :, :length]
        self.values = self.value_buffer[:, :, :length]
        return self.keys, self.values

    def batch_select_indices(self, indices: Tensor) -> None:
        kept = self.key_buffer, self.value_buffer
        self._allocate(kept[0][: len(indices)], kept[1])
        self.key_buffer[:, :, : self.length] = kept[0][indices, :, : self.length]
        self.value_buffer[:, :, : self.length] = kept[1][indices, :, : self.length]
        self._show(self.length)


class PrefixCache(Cache):
    """The cache of the shared prefix, one row."""

    def __init__(self, length: int) -> None:
        super().__init__(layer_class_to_replicate=DynamicLayer)
        self.length = length

    def for_rows(self, rows: int, capacity: int, layers: int) -> Cache:
        """A cache that starts with the prefix in each of `rows` rows and has room for `capacity` tokens."""
        buffers = [_Buffer(capacity) for _ in range(layers)]
        prefix: list[Any] = self.layers  # none where the prompts share nothing
        for buffer, layer in zip(buffers, prefix, strict=False):
            buffer.update(
                layer.keys.expand(rows, -1, -1, -1), layer.values.expand(rows, -1, -1, -1)
            )
        return Cache(layers=list(buffers))


def read_prefix(model: Any, prefix: NDArray[np.int32]) -> PrefixCache:
    """The keys and values of a beginning that all prompts share."""
    length = len(prefix)
    cache = PrefixCache(length)
    if length:
        tokens = torch.tensor(prefix, dtype=torch.long, device=model.device)[None]
        visible = torch.ones(length, length, dtype=torch.bool, device=model.device).tril()
        positions = torch.arange(length, device=model.device)[None]
        forward(model, tokens, Visible(visible[None], positions, positions), cache)
    return cache
