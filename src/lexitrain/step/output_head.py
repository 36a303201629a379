"""Output head and cross-entropy on the scored positions only, in chunks.

The logits are what fills memory: 1,024 positions of a vocabulary of 151,936 are 0.6 GB in fp32, several times over.
The head of the base is frozen, so the backward pass needs nothing but the gradient of the hidden states. Each chunk
of positions therefore goes through logits, loss and gradient at once, its logits are dropped, and the gradient
[S, hidden] is kept for the backward pass. The arithmetic is that of the plain computation, two matrix products; the
memory is that of one chunk. Logits are compared in fp32 whatever the compute precision.

Some families change the logits after the matrix: Cohere and Granite by a factor, Gemma 2 by a bound. Loss and gradient
are those of the changed ones.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

from lexitrain.batching import IGNORED
from lexitrain.errors import ModelError


@dataclass(frozen=True, slots=True, eq=False)
class LogitChange:
    """What a family does to its logits: `bound * tanh(factor * (logits + bias) / bound)`, as far as it has these.

    Attributes:
        factor: of all logits.
        bound: that they stay within; None: no bound.
        bias: [vocabulary], of the output head.
    """

    factor: float = 1.0
    bound: float | None = None
    bias: Tensor | None = None

    @classmethod
    def of(cls, head: torch.nn.Linear, config: Any) -> LogitChange:
        """By the head and the fields in which transformers' configurations say it.

        Raises:
            ModelError: a field says it by something other than a number.
        """

        def number(name: str) -> float:
            value = getattr(config, name, None) or 1.0
            if not isinstance(value, int | float):  # MPT may have the name of a formula there
                raise ModelError(
                    f"The base changes its logits by {name}={value!r}, which is not known here.",
                    where="model.base",
                    fix="Use a base such as Qwen2.5, Llama or SmolLM2.",
                )
            return float(value)

        factor = number("logit_scale") * number("lm_head_multiplier") / number("logits_scaling")
        return cls(factor, getattr(config, "final_logit_softcapping", None) or None, head.bias)

    def apply_(self, logits: Tensor) -> Tensor | None:
        """Change the logits in place; returns the derivative where it is not the factor alone."""
        if self.bias is not None:
            logits.add_(self.bias)
        if self.factor != 1:
            logits.mul_(self.factor)
        if self.bound is None:
            return None
        logits.div_(self.bound).tanh_()
        derivative = 1 - logits.square()
        logits.mul_(self.bound)
        return derivative


UNCHANGED = LogitChange()


class _SumOfTokenLosses(torch.autograd.Function):
    """Sum of the cross-entropies of `hidden @ weight.T` against `labels`; gradient for `hidden` alone."""

    @staticmethod
    def forward(
        ctx: Any, hidden: Tensor, weight: Tensor, labels: Tensor, chunk: int, change: LogitChange
    ) -> Tensor:
        needs_gradient = hidden.requires_grad
        gradient = torch.empty_like(hidden) if needs_gradient else None
        total = torch.zeros((), dtype=torch.float32, device=hidden.device)
        for start in range(0, len(hidden), chunk):
            part = slice(start, start + chunk)
            logits = (hidden[part] @ weight.T).float()
            derivative = change.apply_(logits)
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
                if derivative is not None:
                    logits.mul_(derivative)
                if change.factor != 1:
                    logits.mul_(change.factor)
                gradient[part] = logits.to(hidden.dtype) @ weight
        if gradient is not None:
            ctx.save_for_backward(gradient)
        return total

    @staticmethod
    def backward(ctx: Any, *grad_outputs: Tensor) -> tuple[Tensor | None, ...]:
        (gradient,) = ctx.saved_tensors
        return gradient * grad_outputs[0].to(gradient.dtype), None, None, None, None


def sum_of_token_losses(
    hidden: Tensor, weight: Tensor, labels: Tensor, chunk: int, change: LogitChange = UNCHANGED
) -> Tensor:
    """Sum over the scored positions of the cross-entropy, in nats, as an fp32 scalar.

    Args:
        hidden: final hidden states of the scored positions, [S, hidden].
        weight: the frozen output head, [vocabulary, hidden], of the same dtype. It gets no gradient.
        labels: the token each position predicts, [S]; positions labelled IGNORED count nothing.
        chunk: positions whose logits are in memory at a time.
        change: what the family does to its logits.
    """
    loss: Tensor = _SumOfTokenLosses.apply(hidden, weight, labels, chunk, change)  # pyright: ignore
    return loss
