"""What of a base's modules can be changed while it lives, read before every step.

A base of 24 layers with an adapter has some 700 modules. Asked for by their attributes it takes milliseconds, in which
a GPU has nothing to do; modules keep all of it in dictionaries, which are read here.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from torch import nn

from lexitrain.models import is_fused_projection

Traits = list[tuple[Any, ...]]


class ModuleState:
    """The modules of one base.

    Attributes:
        adapters: those among them that are adapters in PEFT's form.

    Args:
        modules: all of them.
    """

    def __init__(self, modules: Sequence[nn.Module]) -> None:
        self._modules = [(each, vars(each)) for each in modules]
        self.adapters: list[Any] = [each for each in modules if hasattr(each, "lora_A")]

    def hooked(self) -> bool:
        """Whether a module has a hook, or a forward pass that is not its class's."""
        return any(
            own["_forward_hooks"]
            or own["_forward_pre_hooks"]
            or own["_backward_hooks"]
            or own["_backward_pre_hooks"]
            or ("forward" in own and not is_fused_projection(module))
            for module, own in self._modules
        )

    def traits(self) -> Traits:
        """What the adapters, all of PEFT's `Linear`, are like now: equal to before where nothing has been changed."""
        return [_traits(each) for each in self.adapters]


def _traits(adapter: nn.Module) -> tuple[Any, ...]:
    """Of an adapter in PEFT's form: switched off, merged, chosen, scaled, in a variant; its parts, what is trained."""
    own = vars(adapter)
    parts = own["_modules"]
    linears = [*parts["lora_A"]._modules.values(), *parts["lora_B"]._modules.values()]
    return (
        type(adapter),
        own["fan_in_fan_out"],
        own["_disable_adapters"],
        len(own["merged_adapters"]),
        tuple(own["_active_adapter"]),
        len(own["lora_variant"]),
        tuple(own["scaling"].values()),
        parts["base_layer"],
        *parts["lora_dropout"]._modules.values(),
        *linears,
        *[_weight(each._parameters) for each in linears],
    )


def _weight(parameters: dict[str, Any]) -> tuple[int, bool, bool]:
    weight = parameters["weight"]
    return id(weight), weight.requires_grad, parameters.get("bias") is None
