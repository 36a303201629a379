"""What kind of device a step is rehearsed for: which kernels it has and in which precision it computes.

Chosen by the rules that training follows, from the recipe and the GPU's compute capability alone; its speed is the
business of `lexitrain.planning.devices`.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from lexitrain.models import AttentionKind, Precision, attention_kind, compute_precision

DeviceKind = Literal["cpu", "cuda"]


@dataclass(frozen=True, slots=True)
class Target:
    """What kind of device a step is rehearsed for, without its speed.

    Attributes:
        device: `cpu` or `cuda`.
        dtype: compute precision, in which the base is stored as well.
        attention: `blocks` of queries (CPU), a `dense` mask (CUDA below compute capability 8.0) or `flex`.
    """

    device: DeviceKind
    dtype: Precision
    attention: AttentionKind

    @classmethod
    def of(
        cls,
        precision: str,
        capability: tuple[int, int] | None,
        attention: str = "auto",
        dropout: float = 0.0,
    ) -> Target:
        """The target that training would choose.

        Args:
            precision: the recipe's `model.precision`, `auto` included.
            capability: compute capability of the GPU; None for a CPU.
            attention: the recipe's `step.attention`, `auto` included.
            dropout: share of attention weights that the base drops.

        Raises:
            DeviceError, ModelError: attention cannot be computed in that form, so that training would refuse.
        """
        return cls(
            "cpu" if capability is None else "cuda",
            compute_precision(precision, capability),
            attention_kind(attention, capability, dropout),
        )
