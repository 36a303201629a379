"""In which form a device computes attention; what the forms are stands in `step/attention.py`."""

from __future__ import annotations

from typing import Literal

from lexitrain.errors import InputError

AttentionKind = Literal["dense", "blocks", "flex"]

_FLEX_FROM = (8, 0)


def attention_kind(
    wanted: str, capability: tuple[int, int] | None, dropout: float = 0.0
) -> AttentionKind:
    """The form for a recipe's `step.attention`, in training and in a plan.

    Args:
        wanted: the recipe's field; `auto` takes the fastest that the device has.
        capability: compute capability of the GPU; None for a CPU.
        dropout: share of attention weights that the base drops in training; only `dense` can.

    Raises:
        InputError: `flex` on a CPU, where PyTorch has no backward pass for it, or on a GPU before capability 8.0;
            `blocks` on a GPU; either of them for a base that drops attention weights.
    """
    modern = capability is not None and capability >= _FLEX_FROM
    refusal = None
    if wanted == "flex" and not modern:
        refusal = "FlexAttention trains on GPUs of compute capability 8.0 and later only."
    elif wanted == "blocks" and capability is not None:
        refusal = "Attention by blocks uses a kernel that only a CPU has."
    elif wanted in {"blocks", "flex"} and dropout:
        refusal = (
            f"This base drops attention weights (attention_dropout={dropout}); {wanted} cannot."
        )
    if refusal:
        raise InputError(refusal, where="step.attention", fix="Use step.attention=auto.")
    if wanted != "auto":
        return wanted  # pyright: ignore[reportReturnType]
    if dropout:
        return "dense"
    if capability is None:
        return "blocks"
    return "flex" if modern else "dense"
