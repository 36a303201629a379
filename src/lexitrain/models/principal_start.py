"""Adapters that begin in the base's own directions, and what is saved of them.

PiSSA (Meng et al. 2024, arXiv:2404.02948) and OLoRA (Büyükakyüz 2024, arXiv:2406.01775) take a low-rank part out of
each adapted weight W and train it: with scale s the base holds W - s B0 A0 and the adapter begins at B0 A0. The model's
output is at first what it was. What was learnt is s (B A - B0 A0), which is an adapter of twice the rank for W as it
was:

    B A - B0 A0  =  [B, B - B0] [A - A0; A0]

In this form no two large products cancel, so that it holds in half precision too. All that is saved as an adapter has
it. B and A0 are halves of it, bit for bit; a checkpoint keeps A and B0 besides, so that a run goes on with the same
bytes and no decomposition is made twice.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor

from lexitrain.errors import ModelError

if TYPE_CHECKING:
    from peft import PeftModel

_HELD_BACK = "_held_back_from_base"
"""Attribute of an adapted model: A0 and B0 by their names in PEFT's files, on the CPU."""
_A, _B = "lora_A.weight", "lora_B.weight"


def principal_factors(model: PeftModel, init: str) -> dict[str, Tensor]:
    """A0 [rank, inputs] and B0 [outputs, rank] of every adapted weight, by their names in PEFT's files; fp32, CPU.

    Their product times the adapter's scale is a part of the weight. The numbers are those of PEFT's own `pissa` and
    `olora`: singular vectors, each with the root of its value over the scale; the first columns and rows of Q and R.

    Args:
        model: with a new adapter, its base as it was loaded.
        init: `pissa` or `olora`.

    Raises:
        ModelError: a weight is quantized, is used twice, or has fewer directions than the adapter's rank.
    """
    factors: dict[str, Tensor] = {}
    used: set[int] = set()
    for name, layer in _adapted(model):
        rank, base = layer.r["default"], getattr(layer.get_base_layer(), "weight", None)
        _require_called(model, name, init)
        base = _plain(name, base, rank, used, init)
        weight = _outputs_by_inputs(layer, base.detach()).float()
        if init == "pissa":
            left, values, right = torch.linalg.svd(weight, full_matrices=False)
            root = torch.diag(torch.sqrt(values[:rank] / layer.scaling["default"]))
            start = root @ right[:rank], left[:, :rank] @ root
        else:
            q, r = torch.linalg.qr(weight)
            start = r[:rank], q[:, :rank]
        factors[f"{name}.{_A}"], factors[f"{name}.{_B}"] = (
            each.cpu().contiguous().clone() for each in start
        )
    return factors


def hold_back(model: PeftModel, factors: Mapping[str, Tensor]) -> None:
    """Take A0 and B0 out of the base's weights and put them into the adapter, in place.

    Args:
        model: with a new adapter, its base as it was loaded.
        factors: as `principal_factors` gave them, now or when the run began.
    """
    if held_back(model):
        raise ValueError("The adapter's start has been taken out of the base already.")
    for name, layer in _adapted(model):
        base = layer.get_base_layer().weight
        a, b = (factors[f"{name}.{each}"].to(base.device) for each in (_A, _B))
        layer.lora_A["default"].weight.data.copy_(a)
        layer.lora_B["default"].weight.data.copy_(b)
        rest = _outputs_by_inputs(layer, base.data).float() - layer.scaling["default"] * b @ a
        base.data = _outputs_by_inputs(layer, rest).to(base.dtype).contiguous()
    object.__setattr__(model, _HELD_BACK, dict(factors))


def held_back(model: PeftModel) -> dict[str, Tensor]:
    """A0 and B0 that the base lacks, by their names in PEFT's files; empty for an adapter on a base as it was."""
    return vars(model).get(_HELD_BACK, {})


def for_the_whole_base(
    trained: Mapping[str, Tensor], start: Mapping[str, Tensor]
) -> dict[str, Tensor]:
    """The adapter of twice the rank that does to the base as it was what A and B do to the rest of it.

    Args:
        trained, start: A and B, A0 and B0, by their names in PEFT's files, on the CPU.
    """
    return {
        name: torch.cat([now - start[name], start[name]], dim=0)
        if name.endswith(_A)
        else torch.cat([now, now - start[name]], dim=1)
        for name, now in trained.items()
    }


def not_in_it(trained: Mapping[str, Tensor], start: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """A and B0: what `for_the_whole_base` does not hold bit for bit."""
    return {name: now if name.endswith(_A) else start[name] for name, now in trained.items()}


def taken_apart(
    whole: Mapping[str, Tensor], rest: Mapping[str, Tensor]
) -> tuple[dict[str, Tensor], dict[str, Tensor]]:
    """A and B, A0 and B0, of what `for_the_whole_base` and `not_in_it` made of them, bit for bit.

    Raises:
        KeyError, ValueError: they are not of one adapter.
    """
    trained: dict[str, Tensor] = {}
    start: dict[str, Tensor] = {}
    for name, both in whole.items():
        if name.endswith(_A):
            _, start[name] = both.tensor_split(2, dim=0)
            trained[name] = rest[name]
        else:
            trained[name], _ = both.tensor_split(2, dim=1)
            start[name] = rest[name]
        if trained[name].shape != start[name].shape:
            raise ValueError(f"{name} has {tuple(trained[name].shape)}, {tuple(start[name].shape)}")
    return (
        {name: each.contiguous() for name, each in trained.items()},
        {name: each.contiguous() for name, each in start.items()},
    )


def _adapted(model: PeftModel) -> Iterator[tuple[str, Any]]:
    from peft.tuners.lora import LoraLayer

    for name, module in model.named_modules():
        if isinstance(module, LoraLayer):
            yield name, module


def _outputs_by_inputs(layer: Any, weight: Tensor) -> Tensor:
    """The weight [outputs, inputs]; layers of the kind Conv1D keep it the other way round. Its own inverse."""
    return weight.T if layer.fan_in_fan_out else weight


def _require_called(model: PeftModel, name: str, init: str) -> None:
    """Nothing, when the base goes through its projection and does not read the weights beside it.

    Kernels of layers of Mamba's kind read them, so that they would miss what the adapter has taken over.
    """
    if hasattr(model.get_submodule(name.rpartition(".")[0]), "conv1d"):
        raise ModelError(
            f"The kernels of layers of Mamba's kind read the weights of {name} themselves, without the part that "
            f"lora.init {init} takes out of them.",
            where="lora.init",
            fix="Name lora.targets outside of these layers, or use lora.init default.",
        )


def _plain(name: str, base: Tensor | None, rank: int, used: set[int], init: str) -> Tensor:
    """The weight, when it is one matrix of numbers that nothing else uses."""
    if base is None or not base.is_floating_point() or base.ndim != 2:
        raise ModelError(
            f"{name} is {'no matrix' if base is None else f'stored in {base.dtype}'}, and lora.init {init} needs the "
            "weights themselves, one matrix a projection.",
            where="lora.init",
            fix="Use a base that is not quantized, with model.quantization none, or lora.init default.",
        )
    if min(base.shape) < rank:
        raise ModelError(
            f"{name} is {' x '.join(map(str, base.shape))}, too small for rank {rank} with lora.init {init}.",
            where="lora.rank",
            fix=f"Use lora.rank={min(base.shape)} at most, or lora.init default.",
        )
    if base.data_ptr() in used:
        raise ModelError(
            f"The base uses the weight of {name} in another place too, where lora.init {init} would change it.",
            where="lora.init",
            fix="Use lora.init default.",
        )
    used.add(base.data_ptr())
    return base
