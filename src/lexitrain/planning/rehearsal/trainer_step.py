"""The usual trainer's step on a model without weights: what a team runs that has Transformers' Trainer and PEFT.

Their own code is what runs, on `meta` tensors: the base's forward with labels, its logits of all positions and their
loss in fp32, PEFT's layers, gradient checkpointing as the Trainer switches it on. On a GPU the Trainer computes under
autocast, which `meta` does not have: `device_kernels` casts what autocast would. Of a base in 4 bits everything that is
not quantized is fp32, as `prepare_model_for_kbit_training` makes it.
"""

from __future__ import annotations

import warnings
from dataclasses import dataclass
from types import SimpleNamespace
from typing import TYPE_CHECKING, Any

import torch

from lexitrain.models import require_targets, torch_dtype, with_its_attention
from lexitrain.planning.rehearsal.cut_shape import CutShape
from lexitrain.planning.rehearsal.fake_step import FakeStep
from lexitrain.planning.rehearsal.kernels import device_kernels, quantize
from lexitrain.planning.rehearsal.recorder import Recorder, Recording
from lexitrain.planning.rehearsal.target import Target

if TYPE_CHECKING:
    from lexitrain.models import Architecture
    from lexitrain.recipe import Recipe


@dataclass(frozen=True)
class FakeTrainerStep(FakeStep):
    """The usual trainer's step of a model that has a given number of layers."""

    def record(self, cut: CutShape) -> Recording:
        """What one padded micro-batch allocates and computes, from empty gradients.

        Which positions are scored changes nothing: all of them get logits.
        """
        model = self.step.model
        model.zero_grad(set_to_none=True)
        model.train()
        recorder = Recorder(self.step, self.target)
        with recorder, device_kernels(self.target):
            self._loss(cut).backward()
        model.zero_grad(set_to_none=True)
        return recorder.recording()

    def _loss(self, cut: CutShape) -> torch.Tensor:
        """As `Trainer.compute_loss`: what the model returns beside the loss dies here, before the backward pass."""
        grid = (cut.rows, cut.length)
        ids = torch.zeros(grid, dtype=torch.int64, device="meta")
        # What transformers makes of the padding: it would look at the numbers to see whether there is any.
        mask = torch.ones((cut.rows, 1, cut.length, cut.length), dtype=torch.bool, device="meta")
        output = self.step.model(
            input_ids=ids, attention_mask=mask, labels=ids.clone(), num_items_in_batch=1
        )
        if self.target.dtype != "fp32":
            # accelerate's `convert_outputs_to_fp32`: the logits once more.
            output.logits = output.logits.float()
        return output.loss

    def recompute(self, on: bool) -> None:
        """Recompute activations as the Trainer does, or keep them."""
        base = self.step.model.get_base_model()
        kind = "activation" if hasattr(base, "activation_checkpointing_enable") else "gradient"
        if on:
            getattr(base, f"{kind}_checkpointing_enable")()
            base.enable_input_require_grads()
        else:
            getattr(base, f"{kind}_checkpointing_disable")()
            if getattr(base, "_require_grads_hooks", None):
                base.disable_input_require_grads()

    def copied_bytes(self) -> int:
        """None: autocast's copies of the adapter are made in the forward pass, where they are recorded."""
        return 0


def build_trainer_step(
    architecture: Architecture, recipe: Recipe, target: Target, layers: int
) -> FakeTrainerStep:
    """The usual trainer's step of a recipe; arguments and errors as of `build_fake_step`."""
    from peft import LoraConfig, get_peft_model
    from transformers import AutoModelForCausalLM

    config = architecture.transformers_config(layers)
    config.use_cache = False  # the Trainer's default
    lora = recipe.lora
    with torch.device("meta"):
        base: Any = with_its_attention(
            lambda attention: AutoModelForCausalLM.from_config(
                config, dtype=torch_dtype(target.dtype), attn_implementation=attention
            )
        )
        require_targets(base, lora.targets, lora.layers)
        base.requires_grad_(False)
        parameters = sum(each.numel() for each in base.parameters())
        config = LoraConfig(
            r=lora.rank,
            lora_alpha=lora.alpha,  # pyright: ignore[reportArgumentType]
            lora_dropout=lora.dropout,
            target_modules=list(lora.targets),
            layers_to_transform=list(lora.layers) or None,
            bias="none",
            task_type="CAUSAL_LM",
        )
        with warnings.catch_warnings():  # PEFT asks by a name that transformers warns of
            warnings.simplefilter("ignore", FutureWarning)
            model: Any = get_peft_model(base, config)
    if recipe.model.quantization == "nf4":
        head = base.get_output_embeddings()
        quantize(base, keep=head, compute=torch_dtype(target.dtype))
        for each in base.parameters():
            if each.dtype in {torch.float16, torch.bfloat16}:
                each.data = each.data.to(torch.float32)
    trained = [each for each in model.parameters() if each.requires_grad]
    step: Any = SimpleNamespace(
        model=model,
        parameters=trained,
        decoder=base.get_decoder(),
        adapter=SimpleNamespace(room=-1),  # nothing holds all gradients
        known_layers=True,  # nor do they move after the last micro-batch
    )
    return FakeTrainerStep(step, target, parameters)
