"""Base and adapter as one set of weights, a tensor at a time, in fp32.

An adapter of a run with a 4-bit base was trained beside weights that the packing had rounded. Those are merged, not the
ones that were packed: `nf4` first rounds a weight as training did. Bases that are quantized in their files are refused
where they are read.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from pathlib import Path
from types import TracebackType
from typing import TYPE_CHECKING, Any, Self

import torch
from torch import Tensor

from lexitrain.errors import MissingExtra, ModelError
from lexitrain.exporting.merging.adapter_deltas import Delta, adapter_deltas
from lexitrain.exporting.merging.adapter_fit import require_whole
from lexitrain.exporting.merging.base_files import BaseFiles, base_folder

if TYPE_CHECKING:
    from transformers import PretrainedConfig

    from lexitrain.recipe import ModelSection

_PACKED_BLOCK = 64
"""Weights that share a scale in bitsandbytes' NF4."""
_PART = 1 << 24
"""Numbers of a part of a weight: 64 MB in fp32."""


class MergedWeights:
    """The weights of a base with an adapter merged into it, or of a base alone. A context manager.

    Attributes:
        config: of the model.
        folder: of the base's files.
        names: of all weights, in the model's order.
        shapes: name -> shape.
        dtype: in which the base is stored.
        adapted: names that the adapter changes.

    Args:
        model: base, revision and quantization.
        adapter: folder in PEFT form; None: the base alone.

    Raises:
        ModelError: as `BaseFiles` and `adapter_deltas`; or the adapter is for another base.
    """

    def __init__(self, model: ModelSection, adapter: Path | None) -> None:
        self._deltas: Mapping[str, Delta] = {} if adapter is None else adapter_deltas(adapter)
        self._base = BaseFiles(base_folder(model.base, model.revision))
        self.config: PretrainedConfig = self._base.config
        self.folder = self._base.folder
        self.names = self._base.names
        self.shapes = self._base.shapes
        self.dtype = self._base.dtype
        self.adapted = tuple(self._deltas)
        self._four_bits = _packed(self._base) if model.quantization == "nf4" else frozenset[str]()
        if adapter is not None:
            self.require_fitting(self._deltas, adapter)

    def require_fitting(self, deltas: Mapping[str, Delta], adapter: Path) -> None:
        """Nothing, where an adapter is whole and for this base.

        Raises:
            ModelError: it is not.
        """
        stored = {
            name: shape
            for weight, delta in deltas.items()
            for name, shape in delta.stored_shapes(weight).items()
        }
        require_whole(self.config, adapter, stored)

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self._base.__exit__(kind, error, trace)

    def tensor(self, name: str) -> Tensor:
        """A merged weight, fp32.

        Raises:
            ModelError: it cannot be read, or is not a number everywhere.
        """
        return self._merged(name, slice(None))

    def in_rows(self, name: str) -> Iterator[Tensor]:
        """The same in parts of whole rows, so that a large embedding is never in memory whole.

        Raises:
            ModelError: as `tensor`.
        """
        shape = self.shapes[name]
        if len(shape) < 2 or name in self._four_bits:  # 4 bits share scales across rows
            yield self.tensor(name)
            return
        each = max(1, _PART // shape[-1])
        for start in range(0, shape[0], each):
            yield self._merged(name, slice(start, min(start + each, shape[0])))

    def _merged(self, name: str, rows: slice) -> Tensor:
        weight = self._base.stored(name, rows)
        if name in self._four_bits:
            weight = _rounded_to_4_bits(weight)
        delta = self._deltas.get(name)
        merged = weight.float() if delta is None else delta.of_rows(rows).added_to(weight)
        if not torch.isfinite(merged).all():
            raise ModelError(
                f"The weight {name} is not a number everywhere.",
                where=self.folder,
                fix="Train again from a checkpoint before the loss became NaN; `lexitrain runs` shows them.",
            )
        return merged


def _packed(base: BaseFiles) -> frozenset[str]:
    """The weights that bitsandbytes packs: of all linear layers but the head."""
    from transformers import AutoModelForCausalLM

    with torch.device("meta"):
        model: Any = AutoModelForCausalLM.from_config(base.config)
    head = model.get_output_embeddings()
    return frozenset(
        f"{name}.weight"
        for name, module in model.named_modules()
        if isinstance(module, torch.nn.Linear) and module is not head
    )


def _rounded_to_4_bits(weight: Tensor) -> Tensor:
    """A weight as NF4 with double quantization holds it."""
    try:
        from bitsandbytes.functional import dequantize_4bit, quantize_4bit
    except ImportError:
        raise MissingExtra("bitsandbytes", "train") from None
    packed, state = quantize_4bit(
        weight.float().contiguous(),
        blocksize=_PACKED_BLOCK,
        compress_statistics=True,
        quant_type="nf4",
    )
    return dequantize_4bit(packed, state).reshape(weight.shape)
