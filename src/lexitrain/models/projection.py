"""The forward pass of an adapted projection without PEFT's copies.

PEFT's own forward casts the activations to the adapter's fp32 and keeps that copy for the backward pass, one for each
of seven projections; it multiplies the adapter's full-width output by its scale in one pass and adds it in another.
Here the two small matrices are cast instead, and one fused product scales and adds. In fp32 the numbers are PEFT's to
rounding. Whatever is not the plain case (adapter off or merged, several adapters, a LoRA variant, a bias) goes PEFT's
way.
"""

from __future__ import annotations

from types import MethodType
from typing import Any

import torch
from torch import Tensor


def use_fused_projections(model: torch.nn.Module) -> None:
    """Give every LoRA projection over a linear layer, NF4 ones too, the fused forward pass, in place."""
    from peft.tuners.lora import LoraLayer

    for module in model.modules():
        if isinstance(module, LoraLayer) and hasattr(module.get_base_layer(), "in_features"):
            module.forward = MethodType(_forward, module)  # pyright: ignore[reportAttributeAccessIssue]


def is_fused_projection(module: torch.nn.Module) -> bool:
    """Whether a module's own forward pass is the fused one, and no other."""
    return getattr(vars(module).get("forward"), "__func__", None) is _forward


def _forward(self: Any, x: Tensor, *args: Any, **kwargs: Any) -> Tensor:
    """`base(x) + scale * dropout(x) @ A.T @ B.T` for `x` [..., inputs], in the base's compute dtype."""
    active = self.active_adapters
    plain = len(active) == 1 and active[0] in self.lora_A and not self.lora_variant
    plain = plain and self.lora_B[active[0]].bias is None
    if not plain or self.disable_adapters or self.merged or args or kwargs:
        return type(self).forward(self, x, *args, **kwargs)
    name = active[0]
    result = self.base_layer(x)
    down = self.lora_A[name].weight.to(result.dtype)
    up = self.lora_B[name].weight.to(result.dtype)
    inner = torch.nn.functional.linear(self.lora_dropout[name](x), down)
    # addmm scales and adds in one pass, forward and backward.
    flat = torch.addmm(result.flatten(0, -2), inner.flatten(0, -2), up.T, alpha=self.scaling[name])
    return flat.view_as(result)
