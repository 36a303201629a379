"""A micro-batch's arrays as tensors that stay where they are, for cuts of one shape."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

import numpy as np
import torch
from torch import Tensor

from lexitrain.step.attention import BatchTensors

if TYPE_CHECKING:
    from lexitrain.batching import MicroBatch


@dataclass(frozen=True, slots=True)
class CutForm:
    """All that the computation of a cut depends on besides its numbers.

    Attributes:
        rows, length: of the layout.
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
        arrays = _arrays(batch)
        self._numbers = torch.zeros(
            sum(each.size for each in arrays), dtype=torch.int64, device=device
        )
        parts = self._numbers.split([each.size for each in arrays])
        views = [part.view(array.shape) for part, array in zip(parts, arrays, strict=True)]
        tokens, positions, reach, predict, labels = views
        self.tensors = BatchTensors(tokens, positions, reach, predict, labels, (), ())

    def fill(self, batch: MicroBatch) -> None:
        """Put another micro-batch of the same form in; the host goes on while a GPU fetches it."""
        packed = torch.from_numpy(np.concatenate([array.ravel() for array in _arrays(batch)]))
        if self._numbers.device.type == "cuda":
            # The allocator of pinned memory gives it out again only when the copy is done.
            packed = packed.pin_memory()
        self._numbers.copy_(packed, non_blocking=True)


def _arrays(batch: MicroBatch) -> list[np.ndarray[tuple[int, ...], np.dtype[np.int64]]]:
    return [batch.tokens, batch.positions, batch.reach, batch.predict, batch.labels]


def scalar(device: torch.device) -> Tensor:
    """An fp32 number that stays where it is."""
    return torch.zeros((), dtype=torch.float32, device=device)
