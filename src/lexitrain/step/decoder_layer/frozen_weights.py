"""Matrices of the frozen base that take the same input, one below the other in one matrix, for one product.

The base's own parameters become views of the common matrix: what reads or saves them finds the same numbers, and there
is one copy of them.
"""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor
from torch._subclasses.fake_tensor import FakeTensor


class FrozenRows:
    """Frozen parameters that are rows of one tensor.

    Args:
        parameters: [outputs, ...] each, alike in all but the outputs, of one dtype and device.
    """

    def __init__(self, parameters: Sequence[Tensor]) -> None:
        self._parameters = list(parameters)
        self._whole: Tensor | None = None
        self._places: list[tuple[int, torch.Size]] = []
        self.whole()

    def whole(self) -> Tensor:
        """All rows, [sum of outputs, ...]. Parameters that were given other memory since are taken in again."""
        if len(self._parameters) == 1:
            return self._parameters[0].data
        if self._whole is None or self._moved():
            return self._joined()
        return self._whole

    def _moved(self) -> bool:
        """Asked before each step of every projection, so by address: nothing else can lie where the rows do."""
        return any(
            self._place(each) != place or each.shape != shape or not each.is_contiguous()
            for each, (place, shape) in zip(self._parameters, self._places, strict=True)
        )

    @staticmethod
    def _place(parameter: Tensor) -> int:
        """Its address; of one that is on no device which memory it stands for."""
        if isinstance(parameter, FakeTensor):
            return parameter.untyped_storage()._cdata
        return parameter.data_ptr()

    def _joined(self) -> Tensor:
        whole = torch.cat([each.data for each in self._parameters])
        start = 0
        for each in self._parameters:
            each.data = whole[start : start + len(each)]
            start += len(each)
        self._places = [(self._place(each), each.shape) for each in self._parameters]
        self._whole = whole
        return whole
