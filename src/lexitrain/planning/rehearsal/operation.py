"""An operation of PyTorch with its arguments, whose result need not be worked out twice.

Most of a rehearsal's time would go into PyTorch's own working out of shapes; what an operation gave for arguments of
the same shapes is made anew instead, which takes microseconds.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor

_results: dict[Any, Any] = {}
"""Operator and form of its arguments -> how to make its result anew, see `Call.result`. Kept for the whole process,
without a bound: an entry holds sizes and types, no tensor, and a rehearsal adds some hundreds."""


class Call:
    """An operation with its arguments.

    Attributes:
        given: the tensors among the arguments.
        form: the arguments as something to compare: of a tensor its shape, strides and type. None: some cannot be.
    """

    def __init__(self, func: Any, args: tuple[Any, ...], kwargs: dict[str, Any]) -> None:
        self.func, self.args, self.kwargs = func, args, kwargs
        self.given: list[Tensor] = []
        self.form: Any = (self._form(args), self._form(tuple(kwargs.items())))
        try:
            hash(self.form)
        except TypeError:
            self.form = None
        if any(each.device.type != "meta" for each in self.given):
            self.form = None

    def result(self) -> Any:
        """What the operation gives.

        PyTorch works most shapes out in Python. That takes longer than everything else in a rehearsal, and the layers
        of a model ask the same again and again. So where the arguments have shapes, strides and types that were seen
        before, an empty tensor of the known size takes the place of the call. The call itself is made for operations
        in place, and for those whose result shares a storage with an argument.
        """
        func = self.func
        if self.form is None or func._schema.is_mutable:
            return func(*self.args, **self.kwargs)
        key = (func, self.form)
        if key not in _results:
            result = func(*self.args, **self.kwargs)
            _results[key] = self._template(result)
            return result
        single, outputs = _results[key]
        if outputs is None:
            return func(*self.args, **self.kwargs)
        made = [
            torch.empty_strided(size, rest[0], dtype=rest[1], device="meta") if size else rest
            for size, rest in outputs
        ]
        return made[0] if single else tuple(made)

    def _form(self, value: Any) -> Any:
        if isinstance(value, Tensor):
            self.given.append(value)
            return (tuple(value.shape), value.stride(), value.dtype)
        if isinstance(value, list | tuple):
            return tuple([self._form(each) for each in value])
        return (type(value), value)

    def _template(self, result: Any) -> tuple[bool, Any]:
        """How to make a result anew: (size, (strides, dtype)) of a tensor, (None, value) of anything else."""
        single = not isinstance(result, tuple)
        given = {storage_key(each) for each in self.given}
        form: list[Any] = []
        for each in flat(result):
            if isinstance(each, Tensor):
                whole = each.untyped_storage().nbytes() == each.numel() * each.element_size()
                if (
                    not each.ndim
                    or storage_key(each) in given
                    or each.device.type != "meta"
                    or not whole
                ):
                    return single, None
                form.append((tuple(each.shape), (each.stride(), each.dtype)))
            elif each is None or isinstance(each, int | float):
                form.append((None, each))
            else:
                return single, None
        return single, form


def flat(result: Any) -> Sequence[Any]:
    """The results of an operation, one or several; lists among them are looked into."""
    if not isinstance(result, tuple | list):
        return (result,)
    if any(isinstance(each, tuple | list) for each in result):
        return [part for each in result for part in flat(each)]
    return result


def storage_key(tensor: Tensor) -> int:
    """Tells storages apart as long as they live: a later one may get the same key."""
    return tensor.untyped_storage()._cdata
