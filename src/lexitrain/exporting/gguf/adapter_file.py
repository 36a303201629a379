"""A LoRA adapter as a GGUF file of its own, to be loaded beside its base: a phone gets megabytes with an update.

llama.cpp adds `alpha / rank` times B A. What an adapter scales otherwise (rsLoRA, another alpha for some layers) is
written into B, so that the product is the same. DoRA changes the length of rows and has no place in the format.
"""

from __future__ import annotations

from pathlib import Path

import gguf
import numpy as np
import torch

from lexitrain.errors import ModelError
from lexitrain.exporting.gguf.families import family_of
from lexitrain.exporting.gguf.tensors import gguf_tensors, interleaved
from lexitrain.exporting.gguf.writing import align, write_head, write_numbers
from lexitrain.exporting.merging.adapter_deltas import Delta, adapter_deltas
from lexitrain.exporting.merging.merged_weights import MergedWeights
from lexitrain.storage import file_at_once


def gguf_deltas(base: MergedWeights, adapter: Path) -> dict[str, Delta]:
    """Weight of the base -> what an adapter adds to it, where GGUF has a place for that. Nothing is written.

    Raises:
        ModelError: as `write_gguf_adapter`.
    """
    family_of(base.config)
    deltas = adapter_deltas(adapter)
    base.require_fitting(deltas, adapter)
    for name, each in deltas.items():
        if each.magnitude is not None:
            raise ModelError(
                "A DoRA adapter has no form in GGUF.",
                where=adapter,
                fix="Export with `--to gguf`, merged.",
            )
        if not (torch.isfinite(each.a).all() and torch.isfinite(each.b).all()):
            raise ModelError(
                f"What the adapter adds to {name} is not a number everywhere.",
                where=adapter,
                fix="Train again from a checkpoint before the loss became NaN; `lexitrain runs` shows them.",
            )
    return deltas


def write_gguf_adapter(path: Path, base: MergedWeights, adapter: Path, name: str) -> int:
    """Write an adapter; returns its size in bytes.

    Args:
        path: of the file; it is replaced at once.
        base: without the adapter.
        adapter: folder in PEFT form.
        name: of the adapter, for people.

    Raises:
        ModelError: the adapter is of another kind or another base, or changes what the format has no place for.
        Stopped: the disk is full; nothing is left.
    """
    deltas = gguf_deltas(base, adapter)
    config = base.config
    family = family_of(config)
    rank = next(iter(deltas.values())).a.shape[0]
    writer = gguf.GGUFWriter(path=None, arch=family.name)
    writer.add_type("adapter")
    writer.add_name(name)
    writer.add_string(gguf.Keys.Adapter.TYPE, "lora")
    writer.add_float32(gguf.Keys.Adapter.LORA_ALPHA, float(rank))  # so that the scale is 1
    written: list[np.ndarray] = []
    for each in gguf_tensors(config, family, tuple(deltas)):
        delta = deltas[each.source]
        b = delta.b * (delta.scale * delta.a.shape[0] / rank)
        if each.heads:
            b = interleaved(b, each.heads)
        for kind, half in (("lora_a", delta.a), ("lora_b", b)):
            numbers = half.to(torch.float32).contiguous().numpy()
            writer.add_tensor_info(
                f"{each.name}.{kind}", numbers.shape, np.dtype(np.float32), numbers.nbytes
            )
            written.append(numbers)
    with file_at_once(path) as file:
        write_head(writer, file)
        for numbers in written:
            align(file)
            write_numbers(file, numbers)
        return file.tell()
