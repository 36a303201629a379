"""What a LoRA adapter adds to each weight of its base, in fp32, from the adapter's own files.

    W' = W + s B A          s = alpha / r, or alpha / sqrt(r) with rsLoRA (Kalajdzievski 2023, arXiv:2312.03732)
    W' = m (W + s B A) / |W + s B A|        with DoRA (Liu et al. 2024, arXiv:2402.09353), norms of rows

Everything that an adapter's files may hold besides is refused by its name: left out, the model would be another one.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from lexitrain.errors import ModelError
from lexitrain.models import CONFIG_FILE, KEEPS_THE_BASE, WEIGHTS_FILE, read_adapter_config

_PREFIX = "base_model.model."
_A, _B, _MAGNITUDE = ".lora_A.weight", ".lora_B.weight", ".lora_magnitude_vector"


@dataclass(frozen=True, slots=True)
class Delta:
    """What is added to one weight.

    Attributes:
        a: [rank, inputs], fp32.
        b: [outputs, rank], fp32.
        scale: of their product.
        magnitude: [outputs] with DoRA, else None.
    """

    a: Tensor
    b: Tensor
    scale: float
    magnitude: Tensor | None = None

    @property
    def shape(self) -> tuple[int, int]:
        """Of the weight."""
        return self.b.shape[0], self.a.shape[1]

    def of_rows(self, rows: slice) -> Delta:
        """What is added to some rows of the weight."""
        magnitude = None if self.magnitude is None else self.magnitude[rows]
        return Delta(self.a, self.b[rows], self.scale, magnitude)

    def added_to(self, weight: Tensor) -> Tensor:
        """The merged weight, fp32 [outputs, inputs]."""
        merged = weight.float() + self.scale * (self.b @ self.a)
        if self.magnitude is None:
            return merged
        norms = torch.linalg.vector_norm(merged, dim=1, keepdim=True)
        return self.magnitude[:, None] * merged / norms


def adapter_deltas(folder: Path) -> dict[str, Delta]:
    """Weight of the base -> what the adapter in `folder` adds to it.

    Raises:
        ModelError: there is no LoRA adapter, it is damaged, or it changes the base in other ways too.
    """
    from peft.utils.other import get_pattern_key
    from safetensors.torch import load_file

    config: Any = read_adapter_config(folder)
    _require_plain(config, folder)
    try:
        stored = load_file(str(folder / WEIGHTS_FILE))
    except Exception as error:  # SafetensorError is no child of anything more special
        raise ModelError(
            f"The adapter's weights cannot be read: {error}.", where=folder / WEIGHTS_FILE
        ) from error
    parts: dict[str, dict[str, Tensor]] = {}
    for name, weight in stored.items():
        kind = next((each for each in (_A, _B, _MAGNITUDE) if name.endswith(each)), None)
        if kind is None or not name.startswith(_PREFIX):
            raise ModelError(
                f"The adapter holds {name}, which is no part of a linear layer's LoRA and cannot be merged.",
                where=folder,
                fix="Train without trained embeddings, heads or biases, or serve base and adapter with PEFT.",
            )
        parts.setdefault(name[len(_PREFIX) : -len(kind)], {})[kind] = weight.float()
    deltas: dict[str, Delta] = {}
    for module, found in parts.items():
        if not {_A, _B} <= found.keys():
            raise ModelError(f"The adapter lacks half of {module}.", where=folder)
        rank = found[_A].shape[0]
        alpha = config.alpha_pattern.get(
            get_pattern_key(config.alpha_pattern.keys(), module), config.lora_alpha
        )
        scale = alpha / math.sqrt(rank) if config.use_rslora else alpha / rank
        deltas[f"{module}.weight"] = Delta(found[_A], found[_B], scale, found.get(_MAGNITUDE))
    if not deltas:
        raise ModelError("The adapter holds no weights.", where=folder)
    if bool(config.use_dora) != all(each.magnitude is not None for each in deltas.values()):
        raise ModelError(
            f"{CONFIG_FILE} says use_dora: {config.use_dora}, and the weights say otherwise.",
            where=folder,
        )
    return deltas


def _require_plain(config: Any, folder: Path) -> None:
    start = getattr(config, "init_lora_weights", True)
    if isinstance(start, str) and start.lower() not in KEEPS_THE_BASE:
        raise ModelError(
            f"The adapter was begun by {start}, which changes the base's own weights, and is saved for that base.",
            where=folder,
            fix="Save it for the base as it was: PEFT's save_pretrained with path_initial_model_for_weight_conversion.",
        )
    for field in (
        "modules_to_save",
        "layer_replication",
        "trainable_token_indices",
        "target_parameters",
    ):
        if getattr(config, field, None):
            raise ModelError(
                f"The adapter has {field}, which is not merged here.",
                where=folder / CONFIG_FILE,
                fix="Train without it, or serve base and adapter with PEFT.",
            )
    if getattr(config, "fan_in_fan_out", False):
        raise ModelError(
            "The adapter is for layers that store their weights transposed (fan_in_fan_out).",
            where=folder / CONFIG_FILE,
            fix="Serve base and adapter with PEFT.",
        )
