"""The loss of a conversation's supervised tokens, in nats: what training's validation loss is made of.

One forward pass a conversation; logits are computed for the supervised positions alone.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor
from torch.nn.functional import cross_entropy

from lexitrain.evaluation.conversations.turns import supervised_spans
from lexitrain.models import only_padded

if TYPE_CHECKING:
    from lexitrain.samples import Sample


def turn_losses(model: Any, sample: Sample) -> list[float]:
    """Nats of each supervised turn, summed over its tokens, end of turn included."""
    spans = supervised_spans(sample)
    ids = [*sample.prompt_ids.tolist(), *sample.completion_ids.tolist()]
    scored = [place for start, end in spans for place in range(start, end)]
    tokens = torch.tensor([ids], dtype=torch.long, device=model.device)
    places = torch.tensor(scored, dtype=torch.long, device=model.device)
    training = model.training
    model.eval()
    try:
        with torch.inference_mode():
            logits = _logits(model, tokens, places - 1)
            losses = cross_entropy(logits, tokens[0, places], reduction="none").tolist()
    finally:
        model.train(training)
    each = iter(losses)
    return [sum(next(each) for _ in range(start, end)) for start, end in spans]


def _logits(model: Any, tokens: Tensor, places: Tensor) -> Tensor:
    """Logits [places, vocabulary] in fp32 of the only row of `tokens`."""
    if only_padded(model.config):  # its forward pass may know neither positions nor places
        return model(input_ids=tokens, use_cache=False).logits[0, places].float()
    output = model(
        input_ids=tokens,
        position_ids=torch.arange(tokens.shape[1], device=model.device)[None],
        use_cache=False,
        logits_to_keep=places,
    )
    return output.logits[0].float()
