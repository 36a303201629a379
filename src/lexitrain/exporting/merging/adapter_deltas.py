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
from lexitrain.exporting.merging.adapter_fit import require_plain_adapter
from lexitrain.models import CONFIG_FILE, WEIGHTS_FILE

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

    def stored_shapes(self, weight: str) -> dict[str, tuple[int, ...]]:
        """Name in the adapter's file -> shape of each of its parts.

        Args:
            weight: of the base, that it is added to.
        """
        module = _PREFIX + weight.removesuffix(".weight")
        parts = {_A: self.a, _B: self.b, _MAGNITUDE: self.magnitude}
        return {
            module + kind: tuple(part.shape) for kind, part in parts.items() if part is not None
        }

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

    config: Any = require_plain_adapter(folder)
    try:
        stored = load_file(str(folder / WEIGHTS_FILE))
    except Exception as error:  # SafetensorError is no child of anything more special
        raise ModelError(
            f"The adapter's weights cannot be read: {error}.",
            where=folder / WEIGHTS_FILE,
            fix="The file is cut off or damaged: get it anew, or train on from the run's last checkpoint.",
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
