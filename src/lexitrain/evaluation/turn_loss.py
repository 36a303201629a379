"""The loss of a conversation's supervised tokens, in nats: what training's validation loss is made of.

One forward pass a conversation; logits are computed for the supervised positions alone.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import torch
from torch.nn.functional import cross_entropy

from lexitrain.evaluation.turns import supervised_spans

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
            output = model(
                input_ids=tokens,
                position_ids=torch.arange(len(ids), device=model.device)[None],
                use_cache=False,
                logits_to_keep=places - 1,
            )
            targets = tokens[0, places]
            losses = cross_entropy(output.logits[0].float(), targets, reduction="none").tolist()
    finally:
        model.train(training)
    each = iter(losses)
    return [sum(next(each) for _ in range(start, end)) for start, end in spans]
