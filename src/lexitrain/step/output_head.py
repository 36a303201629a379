"""Output head and cross-entropy on the scored positions only, in chunks.

The logits are what fills memory: 1,024 positions of a vocabulary of 151,936 are 0.6 GB in fp32, several times over.
The head of the base is frozen, so the backward pass needs nothing but the gradient of the hidden states. Each chunk
of positions therefore goes through logits, loss and gradient at once, its logits are dropped, and the gradient
[S, hidden] is kept for the backward pass. The arithmetic is that of the plain computation, two matrix products; the
memory is that of one chunk. Logits are compared in fp32 whatever the compute precision.
"""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor

from lexitrain.batching import IGNORED


class _SumOfTokenLosses(torch.autograd.Function):
    """Sum of the cross-entropies of `hidden @ weight.T` against `labels`; gradient for `hidden` alone."""

    @staticmethod
    def forward(ctx: Any, hidden: Tensor, weight: Tensor, labels: Tensor, chunk: int) -> Tensor:
        needs_gradient = hidden.requires_grad
        gradient = torch.empty_like(hidden) if needs_gradient else None
        total = torch.zeros((), dtype=torch.float32, device=hidden.device)
        for start in range(0, len(hidden), chunk):
            part = slice(start, start + chunk)
            logits = (hidden[part] @ weight.T).float()
            scored = labels[part] != IGNORED
            target = labels[part].clamp(min=0)[:, None]
            normalizer = logits.logsumexp(dim=-1, keepdim=True)
            losses = normalizer - logits.gather(1, target)
            total += (losses[:, 0] * scored).sum()
            if gradient is not None:
                # d loss / d logits = softmax - one-hot, in the memory of the logits
                logits.sub_(normalizer).exp_()
                logits.scatter_add_(1, target, logits.new_full((), -1.0).expand_as(target))
                logits.mul_(scored[:, None])
                gradient[part] = logits.to(hidden.dtype) @ weight
        if gradient is not None:
            ctx.save_for_backward(gradient)
        return total

    @staticmethod
    def backward(ctx: Any, *grad_outputs: Tensor) -> tuple[Tensor, None, None, None]:
        (gradient,) = ctx.saved_tensors
        return gradient * grad_outputs[0].to(gradient.dtype), None, None, None


def sum_of_token_losses(hidden: Tensor, weight: Tensor, labels: Tensor, chunk: int) -> Tensor:
    """Sum over the scored positions of the cross-entropy, in nats, as an fp32 scalar.

    Args:
        hidden: final hidden states of the scored positions, [S, hidden].
        weight: the frozen output head, [vocabulary, hidden], of the same dtype. It gets no gradient.
        labels: the token each position predicts, [S]; positions labelled IGNORED count nothing.
        chunk: positions whose logits are in memory at a time.
    """
    loss: Tensor = _SumOfTokenLosses.apply(hidden, weight, labels, chunk)  # pyright: ignore
    return loss
