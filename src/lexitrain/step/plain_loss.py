"""The step's loss against the base's own forward pass, on a few short samples, before anything is trained.

Which layouts are right for a base is known from its family (`lexitrain.models.only_padded`). That knowledge is of
configurations; this asks the very model that is about to be trained. It costs some passes over 60 tokens.
"""

from __future__ import annotations

import math
from collections.abc import Generator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
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


@dataclass(frozen=True, slots=True)
class LayoutLoss:
    """The loss of the same samples, computed in two ways.

    Attributes:
        found: in the step's layout, nats a supervised token.
        alone: each sample for itself, by the base's own forward pass, nats a supervised token.
        tolerance: how far they may be apart, relative.
    """

    found: float
    alone: float
    tolerance: float

    @property
    def difference(self) -> float:
        """How far they are apart, relative; NaN where the base's own loss is not a number."""
        return abs(self.found - self.alone) / abs(self.alone) if self.alone else abs(self.found)

    @property
    def same(self) -> bool:
        """Whether the layout changes nothing but roundings. A base whose own loss is no number proves nothing: the
        guard against such losses says so."""
        return not math.isfinite(self.alone) or self.difference <= self.tolerance


def layout_loss(step: TrainingStep, samples: Sequence[Sample]) -> LayoutLoss | None:
    """The loss of samples in the step's layout and of each alone. The step is left as it was.

    Returns:
        None: memory ran out, which is a matter of the ladder.

    Raises:
        ModelError: the base's own code fails.
    """
    with _for_comparison(step):
        total, count = step.loss(samples)
        with torch.no_grad():
            alone = sum(float(_scored(step, each).sum()) for each in samples)
        return LayoutLoss(total / count, alone / count, _tolerance(step))
    return None


def require_plain_loss(step: TrainingStep) -> None:
    """Nothing, when the step can be computed and its layout gives the loss that the base gives sample by sample.

    Raises:
        ModelError: it does not, so that training would be wrong without a word; or the base's own code fails.
    """
    samples = _samples(len(_head(step)))
    compared = layout_loss(step, samples)
    if compared is not None and not compared.same and step.known_layers:
        # Classes of the known names that compute something else, in another version of transformers perhaps.
        step.own_layers = True
        compared = layout_loss(step, samples)
    if compared is None:
        return
    whole, begun = [], []
    with _for_comparison(step), torch.no_grad():
        whole = [_plain_losses(step, sample) for sample in samples]
        begun = [_plain_losses(step, _without_last(sample)) for sample in samples]
    with _for_comparison(step):
        scored = sum(int(each.supervised.sum()) for each in samples)
        step.accumulate(step.step_layout.lay_out(samples), scored)
    if not math.isfinite(compared.alone):
        return
    for losses, beginning in zip(whole, begun, strict=False):
        before = float(losses[:-1].sum())
        if not abs(float(beginning.sum()) - before) <= compared.tolerance * abs(before):
            raise ModelError(
                "This base sees tokens that come later: the loss of a text's beginning changes with how it goes on.",
                where="model.base",
                fix="Use a base that writes from left to right, such as Qwen2.5, Llama or SmolLM2.",
            )
    _require_same(step, compared, "made-up samples")


def require_layout_of(step: TrainingStep, samples: Sequence[Sample]) -> None:
    """Nothing, when the step's layout gives these samples the loss that the base gives each alone. Raises as
    `require_plain_loss`."""
    compared = layout_loss(step, samples)
    if compared is not None:
        _require_same(step, compared, f"{len(samples)} samples of the data")


def _require_same(step: TrainingStep, compared: LayoutLoss, what: str) -> None:
    if compared.same:
        return
    layout = step.step_layout.layout
    other = "another base" if layout == "padded" else "step.layout=padded, or another base"
    raise ModelError(
        f"In the layout {layout} this base has a loss of {compared.found:.4f} on {what}, and one of "
        f"{compared.alone:.4f} when each is computed alone: training would be wrong.",
        where="step.layout",
        fix=f"Use {other}.",
    )


@contextmanager
def _for_comparison(step: TrainingStep) -> Generator[None]:
    """Score completions, and say what the base's own code raises; memory that runs out ends the block without a word.

    FlexAttention computes by the same rule as `dense`, and would be compiled for these lengths alone.
    """
    kind, layout = step.attention, step.step_layout
    step.step_layout = replace(layout, loss="completion")
    if kind == "flex":
        step.attention = "dense"
    try:
        yield
    except (RuntimeError, TypeError, ValueError, AttributeError, LookupError, MemoryError) as error:
        if is_out_of_memory(error):
            return
        reason = str(error).strip().partition("\n")[0]
        raise ModelError(
            f"The base's own code fails in a step of training: {type(error).__name__}: {reason}",
            where="model.base",
            fix="Use another model.precision or step.layout=padded; a base that docs/bases.md lists; or newer "
            "versions of torch and transformers.",
        ) from error
    finally:
        step.attention, step.step_layout = kind, layout
        step.drop_gradients()


def _head(step: TrainingStep) -> torch.Tensor:
    return step.model.get_base_model().get_output_embeddings().weight


def _tolerance(step: TrainingStep) -> float:
    return _TOLERANCE[_head(step).dtype]


def _scored(step: TrainingStep, sample: Sample) -> torch.Tensor:
    """Losses of a sample's supervised tokens, alone."""
    losses = _plain_losses(step, sample)
    return losses[torch.from_numpy(sample.supervised.copy()).to(losses.device)]


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
