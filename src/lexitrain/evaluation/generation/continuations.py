"""Generation for many prompts at once, with their shared beginning computed once.

Tutor prompts begin alike (system message, instruction), so the longest common prefix of all prompts runs through the
model a single time; its keys and values are then copied to every row of a batch. Prompts are batched by length,
left-padded after the prefix, and every call gets an explicit mask and explicit positions: with a mask of ones,
transformers guesses sequence borders from positions. A row leaves the batch soon after it stops. The tokens are those
of one prompt at a time, up to ties that rounding decides.

A base whose layers are not attention alone (`lexitrain.models.only_padded`) answers one prompt after another, and so
does one that would compute a batch this long otherwise than a prompt alone.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Sequence
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np
import torch
from torch import Tensor

from lexitrain.evaluation.generation.cache import PrefixCache, Visible, forward, read_prefix
from lexitrain.evaluation.generation.decoding import Decoding
from lexitrain.evaluation.generation.one_by_one import one_by_one
from lexitrain.evaluation.generation.picking import Choice, Picker
from lexitrain.models import (
    only_padded,
    require_known_tokens,
    tokens_before_batches_count,
    use_own_masks,
)

if TYPE_CHECKING:
    from numpy.typing import NDArray
    from transformers.cache_utils import Cache

    from lexitrain.evaluation.generation.schema_masks import SchemaMasks

Progress = Callable[[int], None]

_COMPACT_AT = 0.9  # share of rows still going below which the finished ones are dropped


class Continuation(NamedTuple):
    """What a model says after a prompt.

    Attributes:
        tokens: without the one that ended it.
        truncated: whether it ran into the limit of tokens instead of ending.
    """

    tokens: list[int]
    truncated: bool


def generate(
    model: Any,
    tokenizer: Any,
    prompts: Sequence[NDArray[np.int32]],
    maximum_tokens: int,
    stop_ids: Collection[int],
    *,
    decoding: Decoding | None = None,
    masks: SchemaMasks | None = None,
    batch_size: int = 64,
    progress: Progress | None = None,
) -> list[list[Continuation]]:
    """The model's continuations of each prompt.

    Args:
        model: a causal language model of transformers, or one wrapped by PEFT.
        prompts: int [P] each, P >= 1.
        maximum_tokens: most tokens of an answer.
        stop_ids: tokens that end an answer; they are not part of what is returned.
        decoding: how tokens are chosen, and how many continuations each prompt gets; the most likely token and one
            by default.
        masks: what they are held to; nothing by default.
        batch_size: continuations generated together.
        progress: called with the number of continuations finished since the last call.

    Returns:
        `decoding.samples` continuations of each prompt, in the order of the prompts.

    Raises:
        ModelError: a prompt holds tokens that the model does not know, or its output is not numbers.
    """
    decoding = decoding or Decoding()
    count = decoding.samples
    if not prompts or maximum_tokens < 1:
        return [[Continuation([], True)] * count for _ in prompts]
    asked = [prompt for prompt in prompts for _ in range(count)]
    choice = Choice(
        maximum_tokens,
        stop_ids,
        decoding.temperature,
        _draws(decoding, prompts, maximum_tokens),
        masks,
    )
    training = model.training
    model.eval()
    try:
        with torch.inference_mode():
            said = _generate(model, tokenizer, asked, choice, batch_size, progress)
    finally:
        model.train(training)
    if masks:
        for tokens, ended in said:
            if ended:
                masks.check(tokens)
    found = [Continuation(tokens, not ended) for tokens, ended in said]
    return [found[start : start + count] for start in range(0, len(found), count)]


def _draws(
    decoding: Decoding, prompts: Sequence[NDArray[np.int32]], maximum_tokens: int
) -> Tensor | None:
    if not decoding.sampled:
        return None
    rows = [
        decoding.draws(prompt, sample, maximum_tokens)
        for prompt in prompts
        for sample in range(decoding.samples)
    ]
    return torch.from_numpy(np.stack(rows))


def _generate(
    model: Any,
    tokenizer: Any,
    prompts: Sequence[NDArray[np.int32]],
    choice: Choice,
    batch_size: int,
    progress: Progress | None,
) -> list[tuple[list[int], bool]]:
    """Tokens of each answer and whether it has ended."""
    base = model.get_base_model() if hasattr(model, "get_base_model") else model
    require_known_tokens(base, max(int(prompt.max()) for prompt in prompts))
    if only_padded(base.config) or _beyond(base.config, prompts, choice.maximum_tokens):
        return one_by_one(model, base, prompts, choice, progress)
    use_own_masks(base)
    prefix = _common_prefix(prompts)
    cached = read_prefix(model, prefix)
    answers: list[tuple[list[int], bool]] = [([], False)] * len(prompts)
    order = sorted(range(len(prompts)), key=lambda i: len(prompts[i]))
    for start in range(0, len(order), batch_size):
        rows = order[start : start + batch_size]
        batch = _Batch(model, cached, [prompts[i][len(prefix) :] for i in rows])
        found = batch.run(
            Picker(choice, rows, model.device), choice.maximum_tokens, tokenizer, progress
        )
        for i, answer in zip(rows, found, strict=True):
            answers[i] = answer
    return answers


def _beyond(config: Any, prompts: Sequence[NDArray[np.int32]], maximum_tokens: int) -> bool:
    """Whether an answer could reach positions at which the base computes a batch otherwise than one prompt."""
    limit = tokens_before_batches_count(config)
    return limit is not None and max(map(len, prompts)) + maximum_tokens > limit


def _common_prefix(prompts: Sequence[NDArray[np.int32]]) -> NDArray[np.int32]:
    """The longest beginning that all prompts share, leaving each at least its last token."""
    first = prompts[0]
    length = min(len(prompt) for prompt in prompts) - 1
    for prompt in prompts:
        different = np.flatnonzero(prompt[:length] != first[:length])
        if len(different):
            length = int(different[0])
    return first[:length]


class _Batch:
    """Prompts that are generated together.

    The cache holds, in each row: the prefix, padding, the row's own prompt tokens, then its answer so far. All rows
    therefore write to the same slot, and `visible [B, slots]` says which slots hold a row's tokens.
    """

    def __init__(
        self, model: Any, prefix: PrefixCache, suffixes: Sequence[NDArray[np.int32]]
    ) -> None:
        self.model = model
        self.prefix = prefix
        self.lengths = torch.tensor([len(suffix) for suffix in suffixes])
        self.width = int(self.lengths.max())
        self.suffixes = suffixes

    def run(
        self, picker: Picker, maximum_tokens: int, tokenizer: Any, progress: Progress | None
    ) -> list[tuple[list[int], bool]]:
        """Tokens of each answer and whether it has ended."""
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
        logits = self._prefill(cache, visible, places, tokenizer.pad_token_id or 0)
        left = rows
        for step in range(maximum_tokens):
            tokens, ended = picker.pick(logits)
            left -= ended
            if progress and ended:
                progress(ended)
            if not left or step + 1 == maximum_tokens:
                break
            if left < _COMPACT_AT * len(tokens):
                kept = picker.keep()
                cache.batch_select_indices(kept)
                tokens, places, visible = tokens[kept], places[kept], visible[kept]
            seen = self.prefix.length + self.width + step + 1
            rule = Visible(visible[:, None, :seen], places[:, seen - 1 : seen], places[:, :seen])
            logits = forward(self.model, tokens[:, None], rule, cache)
        if progress and left:
            progress(left)
        return list(zip(picker.answers, picker.ended, strict=True))

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
        rule = Visible(mask, places[:, start:end], places[:, :end])
        return forward(self.model, tokens.to(visible.device), rule, cache)
