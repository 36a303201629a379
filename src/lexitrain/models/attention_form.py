"""In which form a device computes attention; what the forms are stands in `step/attention.py`."""

from __future__ import annotations

from typing import Literal, cast

from lexitrain.errors import DeviceError, ModelError
from lexitrain.models.precision import is_ampere_or_later

AttentionKind = Literal["dense", "blocks", "flex"]


def attention_kind(
    wanted: str, capability: tuple[int, int] | None, dropout: float = 0.0
) -> AttentionKind:
    """The form for a recipe's `step.attention`, in training and in a plan.

    Args:
        wanted: the recipe's field; `auto` takes the fastest that the device has.
        capability: compute capability of the GPU; None for a CPU.
        dropout: share of attention weights that the base drops in training; only `dense` can.

    Raises:
        DeviceError: `flex` on a CPU, where PyTorch has no backward pass for it, or on a GPU before compute capability
            8.0; `blocks` on a GPU.
        ModelError: either of them for a base that drops attention weights.
    """
    modern = is_ampere_or_later(capability)
    advice: dict[str, str] = {"where": "step.attention", "fix": "Use step.attention=auto."}
    if wanted == "flex" and not modern:
        raise DeviceError(
            "FlexAttention trains on GPUs of compute capability 8.0 and later only.", **advice
        )
    if wanted == "blocks" and capability is not None:
        raise DeviceError("Attention by blocks uses a kernel that only a CPU has.", **advice)
    if wanted in {"blocks", "flex"} and dropout:
        raise ModelError(
            f"This base drops attention weights (attention_dropout={dropout}); {wanted} cannot.",
            **advice,
        )
    if wanted != "auto":
        return cast("AttentionKind", wanted)
    if dropout:
        return "dense"
    if capability is None:
        return "blocks"
    return "flex" if modern else "dense"
