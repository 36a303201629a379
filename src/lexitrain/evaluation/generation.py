"""Greedy generation for many prompts at once, with their shared beginning computed once.

Tutor prompts begin alike (system message, instruction), so the longest common prefix of all prompts runs through the
model a single time; its keys and values are then copied to every row of a batch. Prompts are batched by length,
left-padded after the prefix, and every call gets an explicit mask and explicit positions: with a mask of ones,
transformers guesses sequence borders from positions. A row leaves the batch soon after it stops.

Keys and values are written into buffers of the final size instead of being concatenated anew at each token, which for
a small model costs more than the model. The tokens are those of one prompt at a time, up to ties that rounding
decides.

A base whose layers are not attention alone (`lexitrain.models.only_padded`) keeps other things than keys and values of
what it has read. It answers one prompt after another by transformers' own generation, and so does one that would
compute a batch this long otherwise than a prompt alone.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Sequence
from dataclasses import dataclass
from inspect import signature
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from torch import Tensor
from transformers import GenerationConfig
from transformers.cache_utils import Cache, DynamicLayer

from lexitrain.models import (
    masked_by,
    only_padded,
    require_known_tokens,
    tokens_before_batches_count,
    use_own_masks,
)

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
        model: a causal language model of transformers, or one wrapped by PEFT.
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
            base = model.get_base_model() if hasattr(model, "get_base_model") else model
            require_known_tokens(base, max(int(prompt.max()) for prompt in prompts))
            if only_padded(base.config) or _beyond(base.config, prompts, maximum_tokens):
                return _one_by_one(model, base, prompts, maximum_tokens, stop_ids, progress)
            use_own_masks(base)
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


def _beyond(config: Any, prompts: Sequence[NDArray[np.int32]], maximum_tokens: int) -> bool:
    """Whether an answer could reach positions at which the base computes a batch otherwise than one prompt."""
    limit = tokens_before_batches_count(config)
    return limit is not None and max(map(len, prompts)) + maximum_tokens > limit


def _one_by_one(
    model: Any,
    base: Any,
    prompts: Sequence[NDArray[np.int32]],
    maximum_tokens: int,
    stop_ids: Collection[int],
    progress: Progress | None,
) -> list[list[int]]:
    """The same by transformers' generation, without what the base's own settings would add to it."""
    answers: list[list[int]] = []
    stated, base.generation_config = base.generation_config, GenerationConfig()
    wanted = GenerationConfig(
        max_new_tokens=maximum_tokens,
        do_sample=False,
        eos_token_id=sorted(stop_ids) or None,
        pad_token_id=0,  # of single rows, so that nothing is padded
    )
    try:
        for prompt in prompts:
            tokens = torch.tensor(prompt, dtype=torch.long, device=model.device)[None]
            found = model.generate(
                input_ids=tokens,
                attention_mask=torch.ones_like(tokens),
                generation_config=wanted,
            )
            answer: list[int] = found[0, len(prompt) :].tolist()
            if answer and answer[-1] in stop_ids:
                answer.pop()
            answers.append(answer)
            if progress:
                progress(1)
    finally:
        base.generation_config = stated
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
        positions = torch.arange(length, device=model.device)[None]
        _forward(model, tokens, _Visible(visible[None], positions, positions), cache)
    return cache


@dataclass(frozen=True, slots=True)
class _Visible:
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


def _forward(model: Any, tokens: Tensor, visible: _Visible, cache: Cache) -> Tensor:
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
        visible, pads = visible.to(device), pads.to(device)
        # Where a slot stands in its row's text; what it says of padding is never looked at.
        slot = torch.arange(slots, device=device)[None]
        shift = torch.where(slot < self.prefix.length, 0, pads[:, None])
        places = (slot - shift).clamp(min=0)
        logits = self._prefill(cache, visible, places, pad_id)
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
                tokens, places, visible = tokens[kept], places[kept], visible[kept]
                active = [active[row] for row in kept.tolist()]
                going = going[kept]
            seen = self.prefix.length + self.width + step + 1
            rule = _Visible(visible[:, None, :seen], places[:, seen - 1 : seen], places[:, :seen])
            logits = _forward(self.model, tokens[:, None], rule, cache)
        return answers

    @staticmethod
    def _collect(
        answers: list[list[int]], active: Sequence[int], tokens: Tensor, said: Tensor
    ) -> None:
        for answer, token, counts in zip(active, tokens.tolist(), said.tolist(), strict=True):
            if counts:
                answers[answer].append(token)

    def _prefill(self, cache: Cache, visible: Tensor, places: Tensor, pad_id: int) -> Tensor:
        """Run the rows' own prompt tokens; the logits `[B, vocabulary]` after each row's last."""
        rows, start, width = len(self.suffixes), self.prefix.length, self.width
        tokens = torch.full((rows, width), pad_id)
        for row, suffix in enumerate(self.suffixes):
            tokens[row, width - len(suffix) :] = torch.from_numpy(suffix.astype(np.int64))
        slot = torch.arange(start + width, device=visible.device)
        query = slot[start:]
        mask = visible[:, None, : start + width] & (slot[None, :] <= query[:, None])
        mask |= slot[None, :] == query[:, None]  # a pad sees itself: a row that sees nothing is NaN
        end = start + width
        rule = _Visible(mask, places[:, start:end], places[:, :end])
        return _forward(self.model, tokens.to(visible.device), rule, cache)
