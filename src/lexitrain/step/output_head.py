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


def frozen_head(base: Any) -> torch.nn.Linear:
    """The base's output head.

    Raises:
        ModelError: it is no plain matrix, or it is trained.
    """
    head = base.get_output_embeddings()
    if not isinstance(head, torch.nn.Linear):
        raise ModelError(
            "The base model's output head is not a plain matrix, which the loss needs.",
            where="model.base",
            fix="Use a base such as Qwen2.5, Llama or SmolLM2.",
        )
    if head.weight.requires_grad:
        raise ModelError(
            "The output head is trainable, but only projections of the decoder layers can be.",
            where="lora.targets",
            fix="Leave lm_head and embed_tokens out of lora.targets.",
        )
    return head


UNCHANGED = LogitChange()


_BOOST = 1024.0
"""What a gradient of logits is multiplied by before it becomes fp16.

Late in training most of it is tiny: where the target has probability 0.9999, the other 151,935 share 0.0001. Numbers
below 6e-8 are zero in fp16, and a hidden state's gradient was wrong by 1 to 4 %; so it is by 0.03 %. With the largest
factor of a loss, 2**24, what is left to multiply by stays within fp16 too.
"""


def without_head(base: Any) -> Any:
    """The part of a base that ends before its output head.

    Raises:
        ModelError: there is none.
    """
    found = base.base_model
    if found is base:  # named otherwise than its weights are, as in Llama 4
        found = getattr(base, "model", None)
    if found is None:
        raise ModelError(
            "The base model has no part that ends before its output head.",
            where="model.base",
            fix="Use a base such as Qwen2.5, Llama or SmolLM2.",
        )
    return found


class _SumOfTokenLosses(torch.autograd.Function):
    """Sum of the cross-entropies of `hidden @ weight.T` against `labels`; gradient for `hidden` alone."""

    @staticmethod
    def forward(
        ctx: Any,
        hidden: Tensor,
        weight: Tensor,
        labels: Tensor,
        chunk: int,
        change: LogitChange,
        factor: Tensor | None,
        gpu: bool,
    ) -> Tensor:
        needs_gradient = hidden.requires_grad
        gradient = torch.empty_like(hidden) if needs_gradient else None
        total = torch.zeros((), dtype=torch.float32, device=hidden.device)
        scored = labels != IGNORED
        targets = labels.clamp(min=0)[:, None]
        boost = _BOOST if hidden.dtype == torch.float16 else 1.0
        for start in range(0, len(hidden), chunk):
            part = slice(start, start + chunk)
            logits = _logits(hidden[part], weight, gpu)
            derivative = change.apply_(logits)
            target = targets[part]
            normalizer = logits.logsumexp(dim=-1, keepdim=True)
            losses = normalizer - logits.gather(1, target)
            total += (losses[:, 0] * scored[part]).sum()
            if gradient is not None:
                # d loss / d logits = softmax - one-hot, in the memory of the logits. A row sums to zero: what the
                # target has is what the others have not. Its own probability less one would be rounding errors of
                # the normalizer, a hundredth of it where it is 0.9999.
                logits.sub_(normalizer).exp_().scatter_(1, target, 0.0)
                logits.scatter_(1, target, logits.sum(-1, keepdim=True).neg_())
                logits.mul_(scored[part, None] * (boost * change.factor))
                if derivative is not None:
                    logits.mul_(derivative)
                torch.mm(logits.to(hidden.dtype), weight, out=gradient[part])
        if gradient is not None:
            if factor is not None:
                gradient.mul_(factor / boost)
            ctx.save_for_backward(gradient)
            ctx.boost = None if factor is not None else boost
        return total

    @staticmethod
    def backward(ctx: Any, *grad_outputs: Tensor) -> tuple[Tensor | None, ...]:
        (gradient,) = ctx.saved_tensors
        if ctx.boost is not None:
            gradient = gradient * (grad_outputs[0] / ctx.boost).to(gradient.dtype)
        return gradient, None, None, None, None, None, None


def _logits(hidden: Tensor, weight: Tensor, gpu: bool) -> Tensor:
    """Logits in fp32, on a GPU as its product sums them."""
    if gpu and hidden.dtype != torch.float32:
        return torch.mm(hidden, weight.T, out_dtype=torch.float32)
    return (hidden @ weight.T).float()


def sum_of_token_losses(
    hidden: Tensor,
    weight: Tensor,
    labels: Tensor,
    chunk: int,
    change: LogitChange = UNCHANGED,
    *,
    factor: Tensor | None = None,
    gpu: bool = False,
) -> Tensor:
    """Sum over the scored positions of the cross-entropy, in nats, as an fp32 scalar.

    Args:
        hidden: final hidden states of the scored positions, [S, hidden].
        weight: the frozen output head, [vocabulary, hidden], of the same dtype. It gets no gradient.
        labels: the token each position predicts, [S]; positions labelled IGNORED count nothing.
        chunk: positions whose logits are in memory at a time.
        change: what the family does to its logits.
        factor: an fp32 scalar, up to 2**24: backward passes from the sum itself give the gradient of so many times the
            sum. It is a tensor so that a step need not be waited for, or recorded anew, where it changes.
        gpu: whether products can give fp32 sums of half precision.
    """
    loss: Tensor = _SumOfTokenLosses.apply(hidden, weight, labels, chunk, change, factor, gpu)  # pyright: ignore
    return loss
