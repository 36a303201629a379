"""What is trained and by which rule: the sections `lora` and `optimizer`, with the levers of learning that PEFT has."""

from __future__ import annotations

import math
import re
from typing import Annotated, Any, Literal, Self, cast

from pydantic import BeforeValidator, Field, field_validator, model_validator

from lexitrain.recipe.section import Section, without_repetition

#: The projections of a decoder layer that an adapter can change.
PROJECTIONS = ("q_proj", "k_proj", "v_proj", "o_proj", "gate_proj", "up_proj", "down_proj")

_SMALLEST_FP32 = 2.0**-126
_MOST_LAYERS = 10_000
_RANGE = re.compile(r"\s*([0-9]{1,6})\s*(?:-\s*([0-9]{1,6})\s*)?")


def _each_layer(value: Any) -> Any:
    """Numbers and ranges such as `0-11`, in a list or alone, as one ascending tuple of numbers."""
    if value is None:
        return ()
    parts: list[Any] = [value]
    if isinstance(value, list | tuple):
        parts = list(cast("list[Any]", value))
    numbers: list[int] = []
    for part in parts:
        if isinstance(part, int) and not isinstance(part, bool):
            first = last = part
        elif isinstance(part, str) and (found := _RANGE.fullmatch(part)):
            first, last = int(found[1]), int(found[2] or found[1])
        else:
            raise ValueError(f"{part!r} is no layer; write numbers and ranges, such as [0-11, 23]")
        if not 0 <= first <= last < _MOST_LAYERS:
            raise ValueError(f"{part} is no layer or range of layers; they count up from 0")
        numbers.extend(range(first, last + 1))
    return tuple(sorted(without_repetition(tuple(numbers))))


class LoraSection(Section):
    """The low-rank adapter (Hu et al. 2021, arXiv:2106.09685)."""

    rank: int = Field(default=16, ge=1, le=1024)
    """Rank of the two adapter matrices."""
    alpha: float = Field(default=32.0, gt=0)
    """Scale of the adapter: its output is multiplied by alpha / rank, or as `scaling` says."""
    scaling: Literal["standard", "rslora"] = "standard"
    """What the adapter's output is multiplied by: `standard` alpha / rank, `rslora` alpha / the square root of the rank
    (Kalajdzievski 2023, arXiv:2312.03732), which does not shrink the steps of high ranks."""
    init: Literal["default", "pissa", "olora", "orthogonal"] = "default"
    """How a new adapter begins. `default`: A uniform, B zero. `orthogonal`: both drawn, their product zero; needs an
    even rank. `pissa` (arXiv:2404.02948): the base's largest singular directions, `olora` (arXiv:2406.01775): its first
    orthogonal ones; both are taken out of the base while training, and what is saved is a plain adapter of twice the
    rank for the base as it was."""
    dropout: float = Field(default=0.0, ge=0, lt=1)
    """Share of adapter inputs set to zero while training. Above 0 the exactness promises do not hold."""
    targets: tuple[str, ...] = Field(default=PROJECTIONS, min_length=1)
    """Projections of each decoder layer that get an adapter."""
    layers: Annotated[tuple[int, ...], BeforeValidator(_each_layer)] = ()
    """Decoder layers that get an adapter, from 0: numbers and ranges, such as `[0-11, 23]`. Empty: all."""

    @property
    def scale(self) -> float:
        """What the adapter's output is multiplied by."""
        rank = self.rank if self.scaling == "standard" else math.sqrt(self.rank)
        return self.alpha / rank

    @property
    def changes_base(self) -> bool:
        """Whether its start is taken out of the base's weights, so that the saved adapter has twice the rank."""
        return self.init in {"pissa", "olora"}

    @field_validator("init", mode="before")
    @classmethod
    def _without_loftq(cls, value: Any) -> Any:
        if value == "loftq":
            raise ValueError(
                "loftq is not offered: such an adapter makes up for the 4-bit base's rounding, so that it is wrong on "
                "any other form of that base; use default with model.quantization nf4, or pissa with none"
            )
        return value

    @field_validator("targets")
    @classmethod
    def _each_once(cls, names: tuple[str, ...]) -> tuple[str, ...]:
        return without_repetition(names)

    @model_validator(mode="after")
    def _consistent(self) -> Self:
        if self.init == "orthogonal" and self.rank % 2:
            raise ValueError(f"init 'orthogonal' needs an even rank, not {self.rank}")
        return self


class OptimizerSection(Section):
    """AdamW (Loshchilov & Hutter 2017, arXiv:1711.05101) and its settings."""

    name: Literal["adamw", "adamw_8bit", "paged_adamw_8bit", "paged_adamw_32bit"] = "adamw_8bit"
    """`adamw` is PyTorch's; the others are bitsandbytes' with 8-bit state or with state that can leave the GPU."""
    learning_rate: float = Field(default=3e-4, gt=0, le=1)
    """Peak learning rate."""
    lora_plus: float = Field(default=1.0, ge=1, le=10_000)
    """How many times the learning rate the adapter's B matrices learn with; its A matrices learn with the rate itself
    (LoRA+, Hayou et al. 2024, arXiv:2402.12354)."""
    weight_decay: float = Field(default=0.01, ge=0, le=1)
    """Decoupled weight decay of the adapter matrices."""
    clip: float = Field(default=1.0, gt=0)
    """Largest global norm of the gradient; a larger gradient is scaled down to it."""
    beta1: float = Field(default=0.9, ge=0, lt=1)
    """Decay of the running mean of gradients."""
    beta2: float = Field(default=0.999, ge=0, lt=1)
    """Decay of the running mean of squared gradients."""
    epsilon: float = Field(default=1e-8, gt=0)
    """Added to the denominator of the update; in fp32, so 1.2e-38 at least."""

    @field_validator("epsilon")
    @classmethod
    def _more_than_zero(cls, value: float) -> float:
        if value < _SMALLEST_FP32:
            raise ValueError("is 0 in fp32, and 0 / 0 is not a number; 1.2e-38 is the least")
        return value
