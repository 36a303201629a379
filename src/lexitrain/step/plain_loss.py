"""The step's loss against the base's own forward pass, on a few short samples, before anything is trained.

Which layouts are right for a base is known from its family (`lexitrain.models.only_padded`). That knowledge is of
configurations; this asks the very model that is about to be trained. It costs some passes over 60 tokens.
"""

from __future__ import annotations

import math
from dataclasses import replace
from typing import TYPE_CHECKING

import numpy as np
import torch

from lexitrain.errors import ModelError
from lexitrain.samples import Sample
from lexitrain.step.out_of_memory import is_out_of_memory

if TYPE_CHECKING:
    from lexitrain.step.training_step import TrainingStep

_TOLERANCE = {torch.float32: 1e-4, torch.float16: 5e-3, torch.bfloat16: 1e-2}
"""How far two ways of computing a loss may be apart, relative: many times what rounding makes of it."""


def require_plain_loss(step: TrainingStep) -> None:
    """Nothing, when the step can be computed and its layout gives the loss that the base gives sample by sample.

    Raises:
        ModelError: it does not, so that training would be wrong without a word; or the base's own code fails.
    """
    head = step.model.get_base_model().get_output_embeddings().weight
    samples = _samples(len(head))
    kind, layout = step.attention, step.step_layout
    step.step_layout = replace(layout, loss="completion")
    if kind == "flex":  # computes by the same rule, and would be compiled for these lengths alone
        step.attention = "dense"
    try:
        with torch.no_grad():
            total, count = step.loss(samples)
            alone = [_plain_losses(step, sample) for sample in samples]
            begun = [_plain_losses(step, _without_last(sample)) for sample in samples]
        step.accumulate(step.step_layout.lay_out(samples), count)
    except (RuntimeError, TypeError, ValueError, AttributeError, LookupError, MemoryError) as error:
        if is_out_of_memory(error):
            return  # a matter of the ladder
        reason = str(error).strip().partition("\n")[0]
        raise ModelError(
            f"The base's own code fails in a step of training: {type(error).__name__}: {reason}",
            where="model.base",
            fix="Use another model.precision or step.layout=padded; a base that docs/bases.md lists; or newer "
            "versions of torch and transformers.",
        ) from error
    finally:
        step.attention, step.step_layout = kind, layout
        step.optimizer.zero_grad(set_to_none=True)
    tolerance = _TOLERANCE[head.dtype]
    found, wanted = total / count, sum(float(each.sum()) for each in alone) / count
    if not math.isfinite(wanted):
        return  # the base itself is broken; the guard against losses that are no numbers says so
    for whole, beginning in zip(alone, begun, strict=True):
        before = float(whole[:-1].sum())
        if not abs(float(beginning.sum()) - before) <= tolerance * abs(before):
            raise ModelError(
                "This base sees tokens that come later: the loss of a text's beginning changes with how it goes on.",
                where="model.base",
                fix="Use a base that writes from left to right, such as Qwen2.5, Llama or SmolLM2.",
            )
    if math.isfinite(found) and abs(found - wanted) <= tolerance * abs(wanted):
        return
    other = "another base" if layout.layout == "padded" else "step.layout=padded, or another base"
    raise ModelError(
        f"In the layout {layout.layout} this base has a loss of {found:.4f} on made-up samples, and one of "
        f"{wanted:.4f} when each is computed alone: training would be wrong.",
        where="step.layout",
        fix=f"Use {other}.",
    )


def _plain_losses(step: TrainingStep, sample: Sample) -> torch.Tensor:
    """Loss of each token of a sample's completion, by the base's own code from beginning to end."""
    tokens = torch.from_numpy(sample.token_ids.astype(np.int64)).to(step.model.device)
    logits = step.model(input_ids=tokens[None], use_cache=False).logits[0].float()
    first = len(sample.prompt_ids)
    return torch.nn.functional.cross_entropy(
        logits[first - 1 : -1], tokens[first:], reduction="none"
    )


def _without_last(sample: Sample) -> Sample:
    return replace(
        sample, completion_ids=sample.completion_ids[:-1], supervised=sample.supervised[:-1]
    )


def _samples(vocabulary: int) -> list[Sample]:
    """Four made-up samples of 12 to 18 tokens that share their first 6."""
    random = np.random.default_rng(0)
    shared = random.integers(0, vocabulary, 6)
    samples: list[Sample] = []
    for index in range(4):
        own = random.integers(0, vocabulary, 6 + 2 * index).astype(np.int32)
        prompt = np.concatenate([shared, own[:2]]).astype(np.int32)
        samples.append(Sample(prompt, own[2:], np.ones(len(own) - 2, bool), "grammar", index))
    return samples
