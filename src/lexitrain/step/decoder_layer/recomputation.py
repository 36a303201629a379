"""Activations of a decoder layer computed again in the backward pass, or kept."""

from __future__ import annotations

from typing import Any

import torch

from lexitrain.errors import ModelError


def set_gradient_checkpointing(base: Any, on: bool) -> None:
    """Recompute each decoder layer in the backward pass, or keep its activations. Same gradient either way."""
    # transformers 5.23 renamed the pair and warns about the old names; 5.17 knows only those.
    kind = "activation" if hasattr(base, "activation_checkpointing_enable") else "gradient"
    if not on:
        getattr(base, f"{kind}_checkpointing_disable")()
        return
    # The state of a GPU's random generator is a wait and a copy in every layer, for nothing where nothing is drawn.
    how = {"use_reentrant": False, "preserve_rng_state": _draws(base)}
    hooked = bool(getattr(base, "_require_grads_hooks", None))
    try:
        getattr(base, f"{kind}_checkpointing_enable")(**{f"{kind}_checkpointing_kwargs": how})
    except ValueError as error:
        raise ModelError(
            f"This base cannot compute its activations again ({str(error).strip()}).",
            where="step.gradient_checkpointing",
            fix="Use step.gradient_checkpointing=never, and a smaller step.token_budget where memory is short.",
        ) from error
    if not hooked and hasattr(base, "disable_input_require_grads"):
        # Of use to the other kind of recomputation alone; here it would give the embeddings a gradient.
        base.disable_input_require_grads()


def _draws(base: Any) -> bool:
    """Whether a forward pass in training draws random numbers."""
    if any(isinstance(each, torch.nn.Dropout) and each.p > 0 for each in base.modules()):
        return True
    fields = base.config.to_dict().items()
    return any(value for name, value in fields if name.endswith(("dropout", "pdrop")))
