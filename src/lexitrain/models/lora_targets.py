"""Which projections of a base get an adapter: each target in every decoder layer, or a reason why not."""

from __future__ import annotations

import re
from collections.abc import Iterable
from typing import Any

import torch

from lexitrain.errors import ModelError, number_of

_IN_A_LAYER = re.compile(r"(?:.*\.)?(?:layers|h|blocks|block)\.(\d+)\.")
"""Names of modules inside a decoder layer, as the families call their lists of layers."""
_WITHOUT = {"conv1d", "out_proj"}
"""What PEFT does not adapt in a base that has layers of Mamba's: their kernels read the matrices themselves."""


def require_targets(model: Any, targets: tuple[str, ...], chosen: tuple[int, ...] = ()) -> None:
    """Nothing, when each target is a projection of every decoder layer, or of some where a base has several kinds.

    Args:
        model: the base.
        targets: names of projections, or ends of their paths such as `shared_expert.up_proj`.
        chosen: numbers of the layers that are meant; empty for all.

    Raises:
        ModelError: the base has fewer layers; a target is in no layer, in some that are like the others, or in a shared
            expert beside others that get no adapter.
    """
    layers = _chosen(_projections(model), chosen)
    there = sorted({name.rpartition(".")[2] for names in layers for name in names})
    fused = any("experts" in name for name, each in model.named_parameters() if each.ndim == 3)
    for target in targets:
        matched = [
            [n for n in names if n == target or n.endswith(f".{target}")] for names in layers
        ]
        count = sum(map(bool, matched))
        if not count:
            raise ModelError(
                f"The base model has no projection called {target} in its decoder layers.",
                where="lora.targets",
                fix=f"There are: {', '.join(there) or 'none'}.",
            )
        if count < len(layers) and len(set(getattr(model.config, "layer_types", None) or ())) < 2:
            raise ModelError(
                f"Only {count} of the base's {number_of(len(layers), 'decoder layer')} "
                f"{'has' if len(layers) == 1 else 'have'} a projection called {target}.",
                where="lora.targets",
                fix=f"In all of them are: {', '.join(_common(layers)) or 'none'}.",
            )
        shared = [name for names in matched for name in names if "expert" in name]
        if fused and shared and "expert" not in target:
            path = ".".join(shared[0].split(".")[-2:])
            raise ModelError(
                f"Only the shared expert has a projection called {target}; the others are one fused parameter, which "
                "gets no adapter.",
                where="lora.targets",
                fix=f"Leave {target} out, or name {path}.",
            )
        if target in _WITHOUT and any(name.endswith("conv1d") for name, _ in model.named_modules()):
            raise ModelError(
                f"In layers of Mamba's kind {target} cannot get an adapter: their kernels read it themselves.",
                where="lora.targets",
                fix=f"Leave {target} out.",
            )


def layer_number(name: str) -> int | None:
    """The number of the decoder layer that a module or weight lies in, by its name; None outside of them."""
    found = _IN_A_LAYER.match(name)
    return None if found is None else int(found[1])


def require_chosen_layers(names: Iterable[str], chosen: tuple[int, ...]) -> None:
    """Nothing, when an adapter is in the chosen layers alone.

    PEFT gives experts that are one fused parameter an adapter in every layer, whatever was chosen.

    Args:
        names: of the adapted model's weights.
        chosen: numbers of layers; empty for all.

    Raises:
        ModelError: it is in others too.
    """
    for name in names:
        if chosen and "lora_" in name and layer_number(name) not in chosen:
            raise ModelError(
                f"PEFT adapts {name} too, which is in none of the layers that were chosen.",
                where="lora.layers",
                fix="Leave lora.layers empty, or lora.targets without projections of experts.",
            )


def _chosen(layers: dict[int, list[str]], numbers: tuple[int, ...]) -> list[list[str]]:
    beyond = [number for number in numbers if number not in layers]
    if beyond:
        raise ModelError(
            f"The base has {number_of(len(layers), 'decoder layer')}, 0 to {len(layers) - 1}, and no layer "
            f"{beyond[0]}.",
            where="lora.layers",
            fix=f"Name layers from 0 to {len(layers) - 1}, or leave lora.layers empty for all.",
        )
    return [names for number, names in layers.items() if not numbers or number in numbers]


def _projections(model: Any) -> dict[int, list[str]]:
    """The names of the projections of each decoder layer, by its number."""
    found: dict[int, list[str]] = {}
    for name, module in model.named_modules():
        layer = layer_number(name)
        if layer is not None and (
            isinstance(module, torch.nn.Linear) or type(module).__name__ == "Conv1D"
        ):
            found.setdefault(layer, []).append(name)
    return found


def _common(layers: list[list[str]]) -> list[str]:
    return sorted(set.intersection(*({n.rpartition(".")[2] for n in names} for names in layers)))
