"""Chains of small operators that `torch.compile` makes one kernel each, once for all layers and lengths.

Not a layer as a whole: our functions of autograd add gradients where they belong and keep what they need in objects.
There the compiler breaks off, and it compiled each layer anew. A chain is a function of tensors alone. Its widths are
those of the base, its length is a variable; should it ever be compiled for too many kinds of arguments, PyTorch
raises. Whatever goes wrong with a compiler ends in the operators one by one, and is told.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import cache
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor
from torch.utils._python_dispatch import is_in_torch_dispatch_mode

from lexitrain.step.decoder_layer import chains
from lexitrain.step.decoder_layer.kernels import Kernels
from lexitrain.step.out_of_memory import is_out_of_memory

if TYPE_CHECKING:
    from lexitrain.recipe import StepSection
    from lexitrain.step.decoder_layer.rotary import Heads, Rotary

_PROBED = (48, 64)
"""Positions and width of what is tried."""


class CompiledKernels(Kernels):
    """What a kind of device computes with, chains compiled.

    On a GPU an RMSNorm is one kernel already, and stays it.

    Args:
        gpu: as in `Kernels`.
        notes: get a sentence where something cannot be compiled.
    """

    def __init__(self, *, gpu: bool, notes: list[str]) -> None:
        super().__init__(gpu=gpu)
        self._notes = notes
        self._off = self._told = False

    def left_out(self) -> None:
        """Say, once, that layers of the base's own code are not compiled."""
        if not self._told:
            self._notes.append(
                "Layers are not compiled: the base's layers or its adapter are not of the kinds whose parts are known "
                "(Qwen2, Qwen3, Llama; no base in 4 bits, no dropout). step.compile=never leaves it out."
            )
        self._told = True

    def normalized(self, x: Tensor, weight: Tensor | None, eps: float) -> tuple[Tensor, Tensor]:
        """As in `Kernels`."""
        if not self.gpu:
            found = self._by(chains.normalized, [x.flatten(0, -2)], _frozen(weight), eps)
            if found is not None:
                return found[0].view(x.shape), found[1].view(*x.shape[:-1], 1)
        return super().normalized(x, weight, eps)

    def normalized_gradient(
        self, gradient: Tensor, x: Tensor, inverse: Tensor, weight: Tensor | None
    ) -> Tensor:
        """As in `Kernels`."""
        if not self.gpu:
            rows = [each.flatten(0, -2) for each in (gradient, x, inverse)]
            found = self._by(chains.normalized_gradient, rows, _frozen(weight))
            if found is not None:
                return found.view(x.shape)
        return super().normalized_gradient(gradient, x, inverse, weight)

    def turned(
        self, y: Tensor, heads: Heads, rotary: Rotary
    ) -> tuple[Tensor, Tensor, tuple[Tensor, ...]]:
        """As in `Kernels`; y stays as it is."""
        shape, both = y.shape[:2], heads.queries + heads.keys
        flat, tables = y.flatten(0, 1), _tables(rotary)
        if heads.epsilon is None:
            found = self._by(chains.turned, [flat, *tables], both)
            if found is not None:
                found = found.unflatten(0, shape)
                return found[:, :, :both], found[:, :, both:], ()
        else:
            rows = [flat[:, :both], *tables]
            found = self._by(chains.normed_and_turned, rows, heads.weights, heads.epsilon)
            if found is not None:
                turned, inverse = (each.unflatten(0, shape) for each in found)
                return turned, y[:, :, both:], (y[:, :, :both], inverse)
        return super().turned(y, heads, rotary)

    def turned_gradient(
        self,
        gradients: Sequence[Tensor],
        heads: Heads,
        rotary: Rotary,
        before: Sequence[Tensor],
        *,
        spread: bool,
    ) -> Tensor:
        """As in `Kernels`."""
        if spread:
            parts = [each.permute(2, 0, 1, 3) for each in gradients]
        else:
            parts = [each.transpose(1, 2).flatten(0, 1) for each in gradients]
        tables = _tables(rotary)
        if heads.epsilon is None:
            found = self._by(chains.turned_gradient, [*parts, *tables])
        else:
            rows = [*parts, *tables, *(each.flatten(0, 1) for each in before)]
            found = self._by(chains.normed_and_turned_gradient, rows, heads.weights)
        if found is not None:
            return found.unflatten(0, rotary.cosines.shape[:2])
        return super().turned_gradient(gradients, heads, rotary, before, spread=spread)

    def gated(self, wide: Tensor) -> Tensor:
        """As in `Kernels`."""
        found = self._by(chains.gated, [wide])
        return super().gated(wide) if found is None else found

    def gated_again(self, wide: Tensor) -> list[Tensor]:
        """The product alone."""
        found = self._by(chains.gated, [wide])
        return super().gated_again(wide) if found is None else [found]

    def gated_gradient(self, gradient: Tensor, wide: Tensor, parts: list[Tensor]) -> Tensor:
        """As in `Kernels`; the halves stay as they are."""
        if len(parts) == 1:
            parts.clear()
            found = self._by(chains.gated_gradient, [gradient, wide])
            if found is not None:
                return found
            parts += super().gated_again(wide)
        return super().gated_gradient(gradient, wide, parts)

    def _by(self, chain: Callable[..., Any], rows: Sequence[Tensor], *fixed: Any) -> Any:
        """What a compiled chain gives; None where it cannot be used, or can no longer be.

        Args:
            chain: of `chains.py`.
            rows: its first arguments, whose first dimension is N.
            fixed: those that are alike in all cuts.
        """
        if self._off or is_in_torch_dispatch_mode():
            return None  # who watches the operators of a step would see none, and PyTorch compiles nothing meanwhile
        try:
            return _compiled(chain)(*map(_of_any_length, rows), *fixed)
        except Exception as error:  # whatever a compiler raises
            # A kernel that needs more of a GPU's own memory than there is has the sign of memory that ran out.
            if is_out_of_memory(error) and "out of resource" not in str(error):
                raise
            self._off = True
            self._notes.append(
                f"Layers are no longer compiled ({chain.__name__}: {_said(error)}); the step goes on without."
            )
            return None


def kernels_for(kind: str, settings: StepSection, head: Tensor, notes: list[str]) -> Kernels:
    """What layers are computed with: compiled chains where the recipe asks for them and a compiler works.

    Args:
        kind: of the device whose kernels are used.
        settings: the recipe's section.
        head: a tensor of the base's device and dtype; on `meta` nothing is compiled.
        notes: get a sentence where there is no compiler.
    """
    gpu = kind == "cuda"
    if settings.compile != "always" or head.device.type == "meta":
        return Kernels(gpu=gpu)
    reason = why_not_compiled(head.device, head.dtype)
    if reason is None:
        return CompiledKernels(gpu=gpu, notes=notes)
    notes.append(f"Layers are not compiled: torch.compile does not work here ({reason}).")
    return Kernels(gpu=gpu)


def why_not_compiled(device: torch.device, dtype: torch.dtype) -> str | None:
    """Why torch.compile does not work on a device, by trying it; None where it works.

    It takes some seconds. A CPU needs a C++ compiler, a GPU Triton, a C compiler and Python's headers.

    Args:
        device, dtype: of the computation.
    """
    x = torch.linspace(-3, 3, _PROBED[0] * _PROBED[1], device=device, dtype=dtype).view(_PROBED)
    try:
        with torch.no_grad():
            found, compiled = _compiled(_probed)(_of_any_length(x))
            apart = float((found - _probed(x)[0]).abs().max())
    except Exception as error:  # whatever a compiler raises
        if is_out_of_memory(error) and "out of resource" not in str(error):
            raise
        return _said(error)
    if not compiled:
        return "it is switched off, by TORCH_COMPILE_DISABLE for example"
    return None if apart <= 0.05 else f"it gives other numbers ({apart:.2g} apart)"


def _probed(x: Tensor) -> tuple[Tensor, bool]:
    """A sum and a product, and whether they are compiled: a chain of its own, so that what is compiled for it counts
    for no other."""
    return chains.gated(chains.normalized(x, None, 1e-6)[0]), torch.compiler.is_compiling()


@cache
def _compiled(chain: Callable[..., Any]) -> Any:
    return torch.compile(chain, fullgraph=True)


def _of_any_length(rows: Tensor) -> Tensor:
    """A tensor as chains get it: without a history, for which they would be compiled anew, and of any N."""
    from torch import _dynamo

    found = rows.detach()
    _dynamo.maybe_mark_dynamic(found, 0)
    return found


def _frozen(weight: Tensor | None) -> Tensor | None:
    """Of whatever class a base has it: parameters are another kind of argument than tensors."""
    return None if weight is None else weight.detach()


def _tables(rotary: Rotary) -> tuple[Tensor, Tensor]:
    """The tables [N, 1, size]."""
    return rotary.cosines.flatten(0, 1), rotary.sines.flatten(0, 1)


def _said(error: Exception) -> str:
    """An error in a line; the compiler's own errors begin with one that only says whose they are."""
    lines = [line.strip() for line in str(error).splitlines() if line.strip()] or [""]
    said = " ".join(lines[:2]) if lines[0].endswith(":") else lines[0]
    return f"{type(error).__name__}: {said}"
