"""Greedy generation for many prompts at once, with their shared beginning computed once.

Tutor prompts begin alike (system message, instruction), so the longest common prefix of all prompts runs through the
model a single time; its keys and values are then copied to every row of a batch. Prompts are batched by length,
left-padded after the prefix, and every call gets an explicit mask and explicit positions: with a mask of ones,
transformers guesses sequence borders from positions. A row leaves the batch soon after it stops.

Keys and values are written into buffers of the final size instead of being concatenated anew at each token, which for
a small model costs more than the model. The tokens are those of one prompt at a time, up to ties that rounding
decides.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Sequence
from inspect import signature
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from torch import Tensor
from transformers.cache_utils import Cache, DynamicLayer

if TYPE_CHECKING:
    from numpy.typing import NDArray

Progress = Callable[[int], None]

_COMPACT_AT = 0.75  # share of rows still going below which the finished ones are dropped


def generate(
    model: Any,
    tokenizer: Any,
    prompts: Sequence[NDArray[np.int32]],
    maximum_tokens: int,
    stop_ids: Collection[int],
    *,
    batch_size: int = 64,
    progress: Progress | None = None,
) -> list[list[int]]:
    """The model's most likely continuation of each prompt, token by token.

    Args:
        model: a causal language model of transformers, or one wrapped by PEFT, with SDPA attention.
        prompts: int [P] each, P >= 1.
        maximum_tokens: most tokens of an answer.
        stop_ids: tokens that end an answer; they are not part of what is returned.
        batch_size: prompts generated together.
        progress: called with the number of prompts finished since the last call.

    Returns:
        The new tokens of each prompt, in the order of the prompts.
    """
    answers: list[list[int]] = [[] for _ in prompts]
    if not prompts or maximum_tokens < 1:
        return answers
    training = model.training
    model.eval()
    try:
        with torch.inference_mode():
            prefix = _common_prefix(prompts)
            cached = _prefill_prefix(model, prefix)
            order = sorted(range(len(prompts)), key=lambda i: len(prompts[i]))
            for start in range(0, len(order), batch_size):
                rows = order[start : start + batch_size]
                batch = _Batch(model, cached, [prompts[i][len(prefix) :] for i in rows])
                found = batch.run(maximum_tokens, stop_ids, tokenizer.pad_token_id or 0, progress)
                for i, answer in zip(rows, found, strict=True):
                    answers[i] = answer
    finally:
        model.train(training)
    return answers


def _common_prefix(prompts: Sequence[NDArray[np.int32]]) -> NDArray[np.int32]:
    """The longest beginning that all prompts share, leaving each at least its last token."""
    first = prompts[0]
    length = min(len(prompt) for prompt in prompts) - 1
    for prompt in prompts:
        different = np.flatnonzero(prompt[:length] != first[:length])
        if len(different):
            length = int(different[0])
    return first[:length]


def _prefill_prefix(model: Any, prefix: NDArray[np.int32]) -> _PrefixCache:
    length = len(prefix)
    cache = _PrefixCache(length)
    if length:
        tokens = torch.tensor(prefix, dtype=torch.long, device=model.device)[None]
        visible = torch.ones(length, length, dtype=torch.bool, device=model.device).tril()
        _forward(model, tokens, visible[None, None], torch.arange(length)[None], cache)
    return cache


def _forward(model: Any, tokens: Tensor, mask: Tensor, positions: Tensor, cache: Cache) -> Tensor:
    """Logits `[B, vocabulary]` after the last of `tokens [B, Q]`; the cache grows by Q."""
    output = model(
        input_ids=tokens,
        attention_mask=mask,
        position_ids=positions.to(tokens.device),
        use_cache=True,
        logits_to_keep=1,
        **{_cache_argument(model): cache},
    )
    return output.logits[:, -1]


def _cache_argument(model: Any) -> str:
    """What the model's forward calls its cache: transformers 5.24 renamed it, and warns about the old name."""
    base = model.get_base_model() if hasattr(model, "get_base_model") else model
    known = signature(type(base).forward).parameters
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


class _PrefixCache(Cache):
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


class _Batch:
    """Prompts that are generated together.

    The cache holds, in each row: the prefix, padding, the row's own prompt tokens, then its answer so far. All rows
    therefore write to the same slot, and `visible [B, slots]` says which slots hold a row's tokens.
    """

    def __init__(
        self, model: Any, prefix: _PrefixCache, suffixes: Sequence[NDArray[np.int32]]
    ) -> None:
        self.model = model
        self.prefix = prefix
        self.lengths = torch.tensor([len(suffix) for suffix in suffixes])
        self.width = int(self.lengths.max())
        self.suffixes = suffixes

    def run(
        self,
        maximum_tokens: int,
        stop_ids: Collection[int],
        pad_id: int,
        progress: Progress | None,
    ) -> list[list[int]]:
        rows, device = len(self.suffixes), self.model.device
        slots = self.prefix.length + self.width + maximum_tokens
        cache = self.prefix.for_rows(rows, slots, self.model.config.num_hidden_layers)
        visible = torch.ones(rows, slots, dtype=torch.bool)
        pads = self.width - self.lengths
        own = torch.arange(self.width)[None] >= pads[:, None]
        visible[:, self.prefix.length : self.prefix.length + self.width] = own
        visible = visible.to(device)
        logits = self._prefill(cache, visible, pads, pad_id)
        positions = (self.prefix.length + self.lengths).to(device)
        stops = torch.tensor(sorted(stop_ids), device=device)

        answers: list[list[int]] = [[] for _ in range(rows)]
        active = list(range(rows))  # the answer that each row of the cache belongs to
        going = torch.ones(rows, dtype=torch.bool, device=device)
        for step in range(maximum_tokens):
            tokens = logits.argmax(dim=-1)
            stopped = torch.isin(tokens, stops)
            self._collect(answers, active, tokens, going & ~stopped)
            ended = int((going & stopped).sum())
            going &= ~stopped
            if progress and ended:
                progress(ended)
            left = int(going.sum())
            if not left or step + 1 == maximum_tokens:
                if progress and left:
                    progress(left)
                break
            if left < _COMPACT_AT * len(active):
                kept = going.nonzero()[:, 0]
                cache.batch_select_indices(kept)
                tokens, positions, visible = tokens[kept], positions[kept], visible[kept]
                active = [active[row] for row in kept.tolist()]
                going = going[kept]
            seen = self.prefix.length + self.width + step + 1
            mask = visible[:, None, None, :seen]
            logits = _forward(self.model, tokens[:, None], mask, positions[:, None] + step, cache)
        return answers

    @staticmethod
    def _collect(
        answers: list[list[int]], active: Sequence[int], tokens: Tensor, said: Tensor
    ) -> None:
        for answer, token, counts in zip(active, tokens.tolist(), said.tolist(), strict=True):
            if counts:
                answers[answer].append(token)

    def _prefill(self, cache: Cache, visible: Tensor, pads: Tensor, pad_id: int) -> Tensor:
        """Run the rows' own prompt tokens; the logits `[B, vocabulary]` after each row's last."""
        rows, start, width = len(self.suffixes), self.prefix.length, self.width
        tokens = torch.full((rows, width), pad_id)
        for row, suffix in enumerate(self.suffixes):
            tokens[row, width - len(suffix) :] = torch.from_numpy(suffix.astype(np.int64))
        positions = (start + torch.arange(width)[None] - pads[:, None]).clamp(min=0)
        slot = torch.arange(start + width, device=visible.device)
        query = slot[start:]
        mask = visible[:, None, : start + width] & (slot[None, :] <= query[:, None])
        mask |= slot[None, :] == query[:, None]  # a pad sees itself: a row that sees nothing is NaN
        return _forward(self.model, tokens.to(visible.device), mask[:, None], positions, cache)
