"""The product's own training step on a model without weights.

Model, adapter and step are built by the code that training uses, on PyTorch's `meta` device: every tensor has a shape,
a dtype and a storage of a known size, but no content. A product of such tensors takes microseconds, however large they
are. Building and stepping a model of four layers takes about a tenth of a second.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import torch

from lexitrain.models import attach_adapter, torch_dtype, with_its_attention
from lexitrain.planning.rehearsal.cut_shape import CutShape, blank_micro_batch
from lexitrain.planning.rehearsal.kernels import device_kernels, quantize
from lexitrain.planning.rehearsal.recorder import Recorder, Recording
from lexitrain.planning.rehearsal.target import Target
from lexitrain.step import TrainingStep, set_gradient_checkpointing

if TYPE_CHECKING:
    from lexitrain.models import Architecture
    from lexitrain.recipe import Recipe


@dataclass(frozen=True)
class FakeStep:
    """The training step of a model that has a given number of layers.

    Attributes:
        step: the product's step; its tensors are on `meta`.
        target: the kind of device it is rehearsed for.
        base_parameters: of the base with that many layers, a tied output head counted once.
    """

    step: TrainingStep
    target: Target
    base_parameters: int

    def record(self, cut: CutShape, *, training: bool = True) -> Recording:
        """What one micro-batch of this shape allocates and computes, from empty gradients.

        Args:
            cut: its shape.
            training: whether it has a backward pass; a validation's has none.
        """
        step = self.step
        batch = blank_micro_batch(cut, step.step_layout.window)
        step.begin(training=training)
        factor = step.loss_factor(1)
        recorder = Recorder(step, self.target)
        with torch.set_grad_enabled(training), recorder, device_kernels(self.target):
            if training:
                step.add_gradients(batch, factor)
            else:
                step.loss_alone(batch)
        step.end()
        step.drop_gradients()
        return recorder.recording()

    def recompute(self, on: bool) -> None:
        """Recompute activations in the backward pass, or keep them."""
        set_gradient_checkpointing(self.step.model.get_base_model(), on)

    def adapter_sizes(self) -> list[int]:
        """Numbers in each trained tensor."""
        return [parameter.numel() for parameter in self.step.parameters]

    def copied_bytes(self) -> int:
        """Bytes of the adapter's numbers in the compute dtype, as long as micro-batches are computed."""
        self.step.begin(training=True)
        copies = getattr(self.step.decoder, "copies", ())
        found = sum(each.untyped_storage().nbytes() for each in _once(copies))
        self.step.end()
        return found

    def base_bytes(self) -> int:
        """Bytes of the frozen tensors."""
        trained = {id(parameter) for parameter in self.step.parameters}
        tensors = [*self.step.model.parameters(), *self.step.model.buffers()]
        return sum(
            each.untyped_storage().nbytes() for each in _once(tensors) if id(each) not in trained
        )


def build_fake_step(
    architecture: Architecture, recipe: Recipe, target: Target, layers: int
) -> FakeStep:
    """The step of a recipe on a base with a given number of layers.

    Args:
        architecture: shape of the base.
        recipe: where quantization or recomputation is `auto`, neither is used.
        target: precision and kernels.
        layers: of the base.

    Raises:
        InputError: transformers does not know the base, or it has none of the adapter's targets.
    """
    from transformers import AutoModelForCausalLM

    config = architecture.transformers_config(layers)
    with torch.device("meta"):
        base: Any = with_its_attention(
            lambda attention: AutoModelForCausalLM.from_config(
                config, dtype=torch_dtype(target.dtype), attn_implementation=attention
            )
        )
        base.requires_grad_(False).eval()
        parameters = sum(each.numel() for each in base.parameters())
        model = attach_adapter(base, recipe.lora, recipe.seed, begin=False)
    if recipe.model.quantization == "nf4":
        quantize(model.get_base_model(), keep=base.get_output_embeddings())
    # The update's memory and work are counted apart (`optimizer_state.py`), so that any optimizer serves.
    optimizer = torch.optim.SGD([each for each in model.parameters() if each.requires_grad])
    # FlexAttention keeps a little less than a dense mask, and needs its device.
    attention = "blocks" if target.attention == "blocks" else "dense"
    settings = recipe.step.model_copy(update={"attention": attention})
    step = TrainingStep(
        model,
        optimizer,
        settings,
        max_length=recipe.data.max_length,
        pad_id=0,
        clip=1.0,
        device=target.device,
    )
    return FakeStep(step, target, parameters)


def _once(tensors: Sequence[torch.Tensor]) -> list[torch.Tensor]:
    """The tensors without repetition of a storage."""
    return list({each.untyped_storage()._cdata: each for each in tensors}.values())
