"""In which form a device computes attention; what the forms are stands in `step/attention.py`."""

from __future__ import annotations

from typing import TYPE_CHECKING, Literal, cast

from lexitrain.errors import DeviceError, ModelError
from lexitrain.models.families import only_dense, only_padded
from lexitrain.models.precision import is_ampere_or_later

if TYPE_CHECKING:
    from lexitrain.models.families import Config

AttentionKind = Literal["dense", "blocks", "flex", "own"]


def attention_kind(
    wanted: str,
    capability: tuple[int, int] | None,
    config: Config,
    layout: str,
    *,
    recorded: bool = False,
) -> AttentionKind:
    """The form for a recipe's `step.attention`, in training and in a plan.

    Args:
        wanted: the recipe's field; `auto` takes the fastest that the device has.
        capability: compute capability of the GPU; None for a CPU.
        config: of the base, see `families.py`.
        layout: the recipe's `step.layout`.
        recorded: whether cuts are recorded: those by blocks have as many forms as cuts.

    Raises:
        DeviceError: `flex` on a CPU, where PyTorch has no backward pass for it, or on a GPU before compute capability
            8.0; `blocks` on a GPU.
        ModelError: the layout or the form is wrong for the base.
    """
    modern = is_ampere_or_later(capability)
    advice: dict[str, str] = {"where": "step.attention", "fix": "Use step.attention=auto."}
    if reason := only_padded(config):
        if layout != "padded":
            raise ModelError(
                f"{reason} The layout {layout} would train it wrongly.",
                where="step.layout",
                fix="Use step.layout=padded, or a base of a family that docs/bases.md lists with every layout.",
            )
        if wanted != "auto":
            raise ModelError(
                f"{reason} It is trained with the attention of its own code.", **advice
            )
        return "own"
    if wanted == "flex" and not modern:
        raise DeviceError(
            "FlexAttention trains on GPUs of compute capability 8.0 and later only.", **advice
        )
    if wanted == "blocks" and capability is not None:
        raise DeviceError("Attention by blocks uses a kernel that only a CPU has.", **advice)
    dense = only_dense(config)
    if wanted in {"blocks", "flex"} and dense:
        raise ModelError(f"{dense}; {wanted} cannot.", **advice)
    if wanted != "auto":
        return cast("AttentionKind", wanted)
    if dense:
        return "dense"
    if capability is None:
        return "dense" if recorded else "blocks"
    return "flex" if modern else "dense"
