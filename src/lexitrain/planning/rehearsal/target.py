"""What kind of device a step is rehearsed for: which kernels it has and in which precision it computes.

Chosen by the rules that training follows, from the recipe and the GPU's compute capability alone; its speed is the
business of `lexitrain.planning.devices`.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any, Literal

from lexitrain.errors import ModelError
from lexitrain.models import (
    AttentionKind,
    Precision,
    attention_kind,
    compute_precision,
    unknown_cost,
)

DeviceKind = Literal["cpu", "cuda"]
Engine = Literal["lexitrain", "trainer"]
"""Whose step it is: this product's, or that of the Transformers Trainer with PEFT."""

_PLAIN: Mapping[str, Any] = {"model_type": "llama"}


@dataclass(frozen=True, slots=True)
class Target:
    """What kind of device a step is rehearsed for, without its speed.

    Attributes:
        device: `cpu` or `cuda`.
        dtype: compute precision, in which the base is stored as well.
        attention: `blocks` of queries (CPU), a `dense` mask (CUDA below compute capability 8.0) or `flex`.
        engine: whose step is rehearsed.
    """

    device: DeviceKind
    dtype: Precision
    attention: AttentionKind
    engine: Engine = "lexitrain"

    @classmethod
    def of(
        cls,
        precision: str,
        capability: tuple[int, int] | None,
        attention: str = "auto",
        layout: str = "tree",
        config: Mapping[str, Any] = _PLAIN,
        *,
        recorded: bool = False,
    ) -> Target:
        """The target that training would choose.

        Args:
            precision: the recipe's `model.precision`, `auto` included.
            capability: compute capability of the GPU; None for a CPU.
            attention: the recipe's `step.attention`, `auto` included.
            layout: the recipe's `step.layout`.
            config: of the base, as in config.json; of a decoder such as Llama's where not given.
            recorded: whether cuts are recorded as CUDA graphs.

        Raises:
            DeviceError: attention cannot be computed in that form, so that training would refuse.
            ModelError: the same, or what the base's layers cost is not known.
        """
        kind = attention_kind(attention, capability, config, layout, recorded=recorded)
        if reason := unknown_cost(config):
            raise ModelError(
                f"What a step of this base costs is not known. {reason}",
                where="model.base",
                fix="It can be trained without a plan; step.token_budget limits the memory of a micro-batch.",
            )
        return cls(
            "cpu" if capability is None else "cuda",
            compute_precision(precision, capability),
            kind,
        )

    def for_trainer(self) -> Target:
        """The same device under the usual trainer, whose attention is over whole rows with a mask."""
        return replace(self, attention="dense", engine="trainer")
