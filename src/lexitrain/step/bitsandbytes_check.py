"""Whether bitsandbytes works here: numbers stored in 8 and in 4 bits on the device, and read back.

Wheels for another CUDA, a driver that is too old, or a build that was made wrong fail at the first kernel, in the
middle of a run; and one whose kernels give wrong numbers fails nowhere. The import takes seconds, the numbers
milliseconds.
"""

from __future__ import annotations

from importlib import import_module
from importlib.util import find_spec
from typing import TYPE_CHECKING, Any

import torch

from lexitrain.errors import DeviceError, MissingExtra

if TYPE_CHECKING:
    from lexitrain.recipe import ModelSection, OptimizerSection

_BLOCKS, _BLOCK = 16, 256
_MOST = {"8-bit": 0.03, "4-bit": 0.15}
"""Largest error of numbers with a normal distribution that are stored so, root mean square against theirs. Measured:
0.014 and 0.092."""


def bitsandbytes_uses(model: ModelSection, optimizer: OptimizerSection) -> tuple[str, ...]:
    """What a recipe needs bitsandbytes for, as `8-bit` and `4-bit`; empty: nothing.

    Args:
        model: with `quantization` decided; `auto` counts as none.
        optimizer: whose state may be stored in 8 bits, or paged.
    """
    uses = ("8-bit",) if optimizer.name != "adamw" else ()
    return (*uses, "4-bit") if model.quantization == "nf4" else uses


def require_bitsandbytes(uses: tuple[str, ...], device: torch.device) -> None:
    """Nothing, where bitsandbytes gives back the numbers that it was given, as near as its bits allow.

    Args:
        uses: what `bitsandbytes_uses` says.
        device: that computes.

    Raises:
        MissingExtra: it is not installed.
        DeviceError: it cannot be imported, fails on the device, or gives back other numbers.
    """
    if not uses:
        return
    if find_spec("bitsandbytes") is None:
        raise MissingExtra("bitsandbytes", "train")
    for kind in uses:
        try:
            error = _error(kind, device)
        except Exception as failed:  # whatever its native library raises
            reason = str(failed).strip().partition("\n")[0]
            raise _broken(f"it fails ({type(failed).__name__}: {reason})", kind, device) from failed
        if not error <= _MOST[kind]:
            raise _broken(f"numbers come back {error:.0%} wrong", kind, device)


def _error(kind: str, device: torch.device) -> float:
    functional: Any = import_module("bitsandbytes.functional")
    random = torch.Generator().manual_seed(0)
    given = torch.randn(_BLOCKS * _BLOCK, generator=random).to(device)
    if kind == "8-bit":
        back = functional.dequantize_blockwise(*functional.quantize_blockwise(given))
    else:
        stored = functional.quantize_4bit(given, quant_type="nf4", compress_statistics=True)
        back = functional.dequantize_4bit(*stored)
    return float((back.float() - given).norm() / given.norm())


def _broken(how: str, kind: str, device: torch.device) -> DeviceError:
    other = "optimizer.name=adamw" if kind == "8-bit" else "model.quantization=none"
    return DeviceError(
        f"bitsandbytes does not store numbers in {kind} here: {how}.",
        where=f"bitsandbytes on {device.type}",
        fix="Install it anew (pip install --upgrade --force-reinstall --no-deps bitsandbytes), or do without: "
        f"{other}.",
    )
