"""Matrices of the frozen base that take the same input, one below the other in one matrix, for one product.

The base's own parameters become views of the common matrix: what reads or saves them finds the same numbers, and there
is one copy of them.
"""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor


class FrozenRows:
    """Frozen parameters that are rows of one tensor.

    Args:
        parameters: [outputs, ...] each, alike in all but the outputs, of one dtype and device.
    """

    def __init__(self, parameters: Sequence[Tensor]) -> None:
        self._parameters = list(parameters)
        self._whole = self.whole()

    def whole(self) -> Tensor:
        """All rows, [sum of outputs, ...]. Parameters that were given other memory since are taken in again."""
        first = self._parameters[0]
        if len(self._parameters) == 1:
            return first.data
        start = 0
        for each in self._parameters:
            if not self._lies_at(each, start):
                return self._joined()
            start += len(each)
        return self._whole

    def _lies_at(self, parameter: Tensor, row: int) -> bool:
        whole = getattr(self, "_whole", None)
        return (
            whole is not None
            and parameter.untyped_storage()._cdata == whole.untyped_storage()._cdata
            and parameter.storage_offset() == row * whole.stride(0)
            and parameter.shape[1:] == whole.shape[1:]
            and parameter.is_contiguous()
        )

    def _joined(self) -> Tensor:
        self._whole = torch.cat([each.data for each in self._parameters])
        start = 0
        for each in self._parameters:
            each.data = self._whole[start : start + len(each)]
            start += len(each)
        return self._whole
