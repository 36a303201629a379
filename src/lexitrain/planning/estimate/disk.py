"""What checkpoints take on disk, from the shapes of the adapter alone.

The numbers follow the files that training writes (`training/recovery/checkpoint_content.py`): the adapter in fp32, the
optimizer's state in its own form, and a state file. A test writes real checkpoints and compares. The frozen base is in
none of them.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from lexitrain.batching import DecoderShape
from lexitrain.planning.rehearsal.optimizer_state import BLOCK_8BIT, MAPS_8BIT, SMALLEST_8BIT

if TYPE_CHECKING:
    from lexitrain.recipe import Recipe

_NAME = 131
"""Bytes of a tensor's entry in the header of a safetensors file: name, type, shape and place."""
_STATE_FILE = 5_000
"""Cursor, training state, manifest, adapter configuration."""
_STEP_COUNT = 95
"""A tensor's own count of steps in state.json, where bitsandbytes keeps one; PyTorch's AdamW keeps a tensor instead."""

BYTES_PER_SECOND = 1.1e8
"""Checkpoint bytes written in a second: made, hashed, synced. Cautious: benchmarks/results/checkpoint_size.json has
132 MB/s for `fast` and 280 for `best`, on one machine."""


@dataclass(frozen=True, slots=True)
class Disk:
    """Bytes on disk.

    Attributes:
        adapter: the adapter's files alone.
        each: one checkpoint.
        kept: all that is there at the end of a run: the newest `keep` and the best adapter.
        mirror: the same again in the mirror folder; 0 without one.
        most: while a checkpoint is being written, when one more is there than is kept.
        saves: checkpoints written over the whole run.
    """

    adapter: int
    each: int
    kept: int
    mirror: int
    most: int
    saves: int

    @property
    def seconds(self) -> float:
        """Time to write them all, the best adapter besides, and the mirror's copies, which are read back."""
        written = self.saves * (self.each + self.adapter)
        return written / BYTES_PER_SECOND * (3 if self.mirror else 1)


def disk_use(config: Mapping[str, Any], recipe: Recipe, total_steps: int) -> Disk:
    """What a run of this recipe keeps on disk.

    Args:
        config: the base's config.json.
        recipe: adapter, optimizer and checkpoints count.
        total_steps: of the whole run.
    """
    lora = recipe.lora
    tensors = DecoderShape.of_config(config).adapter_sizes(lora.rank, lora.targets, lora.layers)
    trained = sum(4 * count for count in tensors)
    entries = _NAME * len(tensors)
    # An adapter that begins in the base's own directions is saved with twice its rank, and with the rest of what a run
    # needs to go on (models/principal_start.py).
    adapter = (2 if lora.changes_base else 1) * trained + entries + 1_000
    rest = trained + entries if lora.changes_base else 0
    counts = 0 if recipe.optimizer.name == "adamw" else _STEP_COUNT * len(tensors)
    each = adapter + rest + _optimizer_bytes(tensors, recipe.optimizer.name) + counts + _STATE_FILE
    every, keep = recipe.checkpoints.every, recipe.checkpoints.keep
    saves = max(1, -(-total_steps // every))
    kept = min(keep, saves) * each + adapter
    return Disk(
        adapter=adapter,
        each=each,
        kept=kept,
        mirror=kept if recipe.checkpoints.mirror else 0,
        most=kept + each,
        saves=saves,
    )


def _optimizer_bytes(tensors: list[int], name: str) -> int:
    """Size of optimizer.safetensors."""
    if name in {"adamw", "paged_adamw_32bit"}:
        entries = 3 if name == "adamw" else 2
        return sum(8 * count + entries * _NAME for count in tensors)
    large = [count for count in tensors if count >= SMALLEST_8BIT]
    small = [count for count in tensors if count < SMALLEST_8BIT]
    scales = sum(2 * 4 * -(-count // BLOCK_8BIT) for count in large)
    return (
        sum(2 * count for count in large)
        + scales
        + len(large) * (MAPS_8BIT + 6 * _NAME)
        + sum(8 * count + 2 * _NAME for count in small)
    )
