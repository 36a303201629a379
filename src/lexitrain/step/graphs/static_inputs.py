"""A micro-batch's arrays as tensors that stay where they are, for cuts of one shape."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

import numpy as np
import torch
from torch import Tensor

from lexitrain.step.attention import BatchTensors

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from lexitrain.batching import MicroBatch

    Integers = NDArray[np.int64]


@dataclass(frozen=True, slots=True)
class CutForm:
    """All that the computation of a cut depends on besides its numbers.

    Attributes:
        rows, length: of the layout; where attention goes by tiles, as many as they give.
        scored: positions that go through the output head, padding included.
        window: of the base's windowed layers, where it hides something.
    """

    rows: int
    length: int
    scored: int
    window: int | None

    @classmethod
    def of(cls, batch: MicroBatch) -> CutForm:
        """The form of a micro-batch."""
        rows, length = batch.tokens.shape
        return cls(rows, length, len(batch.predict), batch.window)


class StaticInputs:
    """The tensors of one form.

    Attributes:
        batch: a micro-batch of this form that stands for all of them: nothing is read of it but sizes, and whether a
            position lies deeper than the window.
        tensors: its arrays on the device, filled by `fill`.

    Args:
        batch: the first one.
        device: where the tensors are.
    """

    def __init__(self, batch: MicroBatch, device: torch.device) -> None:
        # Positions at which no narrower window decides anew whether it hides something.
        deepest = batch.tokens.shape[1] if batch.window is not None else 0
        self.batch = replace(batch, positions=np.full_like(batch.positions, deepest))
        self._numbers, views = _room(_arrays(batch), torch.int64, device)
        self._tables, tiles = _room(_tile_tables(batch), torch.int32, device)
        tokens, positions, reach, predict, labels = views
        self.tensors = BatchTensors(tokens, positions, reach, predict, labels, (), (), tuple(tiles))

    def fill(self, batch: MicroBatch) -> None:
        """Put another micro-batch of the same form in; the host goes on while a GPU fetches it."""
        _put(self._numbers, _arrays(batch))
        if tables := _tile_tables(batch):
            _put(self._tables, tables)


def _arrays(batch: MicroBatch) -> list[Integers]:
    return [batch.tokens, batch.positions, batch.reach, batch.predict, batch.labels]


def _tile_tables(batch: MicroBatch) -> tuple[Integers, ...]:
    """Which tiles are computed: numbers that a kernel reads, in tables whose sizes follow from those of the rows."""
    return () if batch.tiles is None else batch.tiles.tables()


def _room(
    arrays: Sequence[Integers], dtype: torch.dtype, device: torch.device
) -> tuple[Tensor, list[Tensor]]:
    """Room for arrays one behind the other, and the part of each."""
    whole = torch.zeros(sum(each.size for each in arrays), dtype=dtype, device=device)
    parts = whole.split([each.size for each in arrays]) if arrays else ()
    return whole, [part.view(array.shape) for part, array in zip(parts, arrays, strict=True)]


def _put(room: Tensor, arrays: Sequence[Integers]) -> None:
    packed = torch.from_numpy(np.concatenate([each.ravel() for each in arrays])).to(room.dtype)
    if room.device.type == "cuda":
        # The allocator of pinned memory gives it out again only when the copy is done.
        packed = packed.pin_memory()
    room.copy_(packed, non_blocking=True)


def scalar(device: torch.device) -> Tensor:
    """An fp32 number that stays where it is."""
    return torch.zeros((), dtype=torch.float32, device=device)
