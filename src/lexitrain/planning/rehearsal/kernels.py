"""The kernels that a device would choose, for tensors that are on no device.

PyTorch chooses the attention and the dropout kernel by device, and kernels differ in what they keep for the backward
pass. For tensors on `meta` it would choose the reference implementation, which keeps far more. So while a step is
rehearsed, those two calls go straight to the kernel of the target; the shapes of its results are worked out by PyTorch.

A base in 4 bits cannot be built without its weights. A stand-in keeps as many bytes as bitsandbytes keeps and restores
the weight at every use, forward and backward, as bitsandbytes' kernels do for more than a few rows.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from math import prod
from typing import Any

import torch
from torch import Tensor, library
from torch.utils.flop_counter import sdpa_backward_flop_count, sdpa_flop_count

from lexitrain.models import torch_dtype
from lexitrain.planning.rehearsal.target import Target

_BLOCK = 64
"""Weights that share a scale in NF4 (Dettmers et al. 2023, arXiv:2305.14314, section 3)."""
_BLOCKS = 256
"""Scales that share a scale of their own: double quantization, ibid."""

_library = library.Library("lexitrain", "FRAGMENT")
_library.define(
    "restored_4bit(Tensor packed, Tensor scales, int[] shape, ScalarType dtype) -> Tensor"
)


_library.define("rms_norm(Tensor x, Tensor? weight) -> (Tensor, Tensor)")
_library.define("rms_norm_backward(Tensor gradient, Tensor x, Tensor inverse) -> Tensor")


@library.impl(_library, "rms_norm", "Meta")
def _rms_norm(x: Tensor, _weight: Tensor | None) -> tuple[Tensor, Tensor]:
    inverse = torch.empty((*x.shape[:-1], 1), dtype=torch.float32, device=x.device)
    return torch.empty(x.shape, dtype=x.dtype, device=x.device), inverse


@library.impl(_library, "rms_norm_backward", "Meta")
def _rms_norm_backward(_gradient: Tensor, x: Tensor, _inverse: Tensor) -> Tensor:
    return torch.empty(x.shape, dtype=x.dtype, device=x.device)


@library.impl(_library, "restored_4bit", "Meta")
def _restored(packed: Tensor, _scales: Tensor, shape: list[int], dtype: torch.dtype) -> Tensor:
    return torch.empty(shape, dtype=dtype, device=packed.device)


@contextmanager
def device_kernels(target: Target) -> Iterator[None]:
    """Send attention, dropout and norms to the target's kernels, in this process, for the time of a rehearsal.

    The functions are exchanged in PyTorch's module, not by a function mode: recomputation in the backward pass runs
    outside of any mode.
    """
    functional: Any = torch.nn.functional
    operators: Any = torch.ops.aten
    exchanged: dict[tuple[Any, str], Any] = {
        (functional, "scaled_dot_product_attention"): _cpu_attention
    }
    if target.device == "cuda":
        exchanged = {
            (functional, "scaled_dot_product_attention"): _cuda_attention,
            (functional, "dropout"): _cuda_dropout,
            (operators, "_fused_rms_norm"): _cuda_norm,
            (operators, "_fused_rms_norm_backward"): _cuda_norm_backward,
        }
    if target.engine == "trainer" and target.dtype != "fp32":
        exchanged |= _under_autocast(exchanged, torch_dtype(target.dtype))
    own = {place: getattr(*place) for place in exchanged}
    try:
        for place, kernel in exchanged.items():
            setattr(*place, kernel)
        yield
    finally:
        for place, kernel in own.items():
            setattr(*place, kernel)


def _under_autocast(
    exchanged: dict[tuple[Any, str], Any], dtype: torch.dtype
) -> dict[tuple[Any, str], Any]:
    """Products and attention that cast their fp32 arguments first, as autocast does."""
    functional: Any = torch.nn.functional
    found: dict[tuple[Any, str], Any] = {}
    for name in ("linear", "scaled_dot_product_attention"):
        place = (functional, name)
        kernel = exchanged.get(place, getattr(functional, name))

        def cast(*args: Any, kernel: Any = kernel, **kwargs: Any) -> Tensor:
            return kernel(
                *(_lowered(each, dtype) for each in args),
                **{key: _lowered(each, dtype) for key, each in kwargs.items()},
            )

        found[place] = cast
    return found


def _lowered(value: Any, dtype: torch.dtype) -> Any:
    wide = isinstance(value, Tensor) and value.dtype == torch.float32
    return value.to(dtype) if wide else value


def _additive(mask: Tensor | None, query: Tensor) -> Tensor | None:
    """A mask of yes and no as the kernels take it, made anew in each call as PyTorch does."""
    if mask is None or mask.dtype != torch.bool:
        return mask
    made = torch.zeros(mask.shape, dtype=query.dtype, device=mask.device)
    return made.masked_fill_(mask.logical_not(), float("-inf"))


def _cpu_attention(
    query: Tensor,
    key: Tensor,
    value: Tensor,
    attn_mask: Tensor | None = None,
    dropout_p: float = 0.0,
    is_causal: bool = False,
    scale: float | None = None,
    enable_gqa: bool = False,  # noqa: ARG001 (the kernel takes grouped queries as they are)
) -> Tensor:
    mask = _additive(attn_mask, query)
    return torch.ops.aten._scaled_dot_product_flash_attention_for_cpu(
        query, key, value, dropout_p, is_causal, attn_mask=mask, scale=scale
    )[0]


def _cuda_attention(
    query: Tensor,
    key: Tensor,
    value: Tensor,
    attn_mask: Tensor | None = None,
    dropout_p: float = 0.0,
    is_causal: bool = False,
    scale: float | None = None,
) -> Tensor:
    """The memory-efficient kernel: the only fused one that takes a mask."""
    attn_mask = _additive(attn_mask, query)
    if attn_mask is not None:
        rows, heads, length, _ = query.shape
        attn_mask = attn_mask.expand(rows, heads, length, key.shape[2])
    return torch.ops.aten._scaled_dot_product_efficient_attention(
        query, key, value, attn_mask, True, dropout_p, is_causal, scale=scale
    )[0]


def _cuda_dropout(
    input: Tensor, p: float = 0.5, training: bool = True, inplace: bool = False
) -> Tensor:
    """The kernel that keeps one byte a number; PyTorch's other one keeps a mask as wide as the numbers."""
    if inplace or not training or p == 0:
        return torch.dropout(input, p, training)
    return torch.native_dropout(input, p, training)[0]


def _cuda_norm(
    x: Tensor, _shape: Any, weight: Tensor | None, _epsilon: float
) -> tuple[Tensor, Tensor]:
    """RMSNorm's own kernel, which `meta` does not know: there it falls into seven."""
    return torch.ops.lexitrain.rms_norm(x, weight)


def _cuda_norm_backward(
    gradient: Tensor, x: Tensor, _shape: Any, inverse: Tensor, _weight: Any, _mask: Any
) -> tuple[Tensor]:
    return (torch.ops.lexitrain.rms_norm_backward(gradient, x, inverse),)


def _forward_flops(query: Any, key: Any, value: Any, *_: Any, **__: Any) -> int:
    return sdpa_flop_count(query, _ungrouped(key, query), _ungrouped(value, query))


def _backward_flops(gradient: Any, query: Any, key: Any, value: Any, *_: Any, **__: Any) -> int:
    keys, values = _ungrouped(key, query), _ungrouped(value, query)
    return sdpa_backward_flop_count(gradient, query, keys, values)


def _ungrouped(keys: Any, query: Any) -> tuple[int, ...]:
    """The shape of keys or values as if each query head had its own."""
    rows, _, length, size = keys
    return (rows, query[1], length, size)


def _product_flops(_there: Any, left: Any, right: Any, *_: Any, **__: Any) -> int:
    """Of `there += left @ right`, of matrices or stacks of them."""
    *stack, rows, inner = left
    return 2 * prod(stack) * rows * inner * right[-1]


UNCOUNTED_FLOPS = {
    torch.ops.aten.addmm_: _product_flops,
    torch.ops.aten.baddbmm_: _product_flops,
    torch.ops.aten._scaled_dot_product_flash_attention_for_cpu: _forward_flops,
    torch.ops.aten._scaled_dot_product_flash_attention_for_cpu_backward: _backward_flops,
}
"""Arithmetic of products in place and of the CPU's fused kernel from the shapes of their arguments, which PyTorch's
counter does not know."""


def nf4_bytes(weights: int) -> int:
    """Bytes that bitsandbytes keeps for a matrix of so many weights: NF4 with double quantization."""
    blocks = -(-weights // _BLOCK)
    second = -(-blocks // _BLOCKS)
    # In fp32: the 16 values of a 4-bit code, the 256 of the scales' 8-bit code, and the mean taken off the scales.
    values, second_values, offset = 16 * 4, 256 * 4, 4
    # Half a byte a weight, a byte a scale, four a scale of scales.
    return -(-weights // 2) + blocks + 4 * second + values + second_values + offset


class _FourBitProduct(torch.autograd.Function):
    @staticmethod
    def forward(
        ctx: Any, x: Tensor, packed: Tensor, scales: Tensor, bias: Any, shape: Any
    ) -> Tensor:
        ctx.save_for_backward(packed, scales)
        ctx.shape = shape
        weight = torch.ops.lexitrain.restored_4bit(packed, scales, shape, x.dtype)
        return torch.nn.functional.linear(x, weight, bias)

    @staticmethod
    def backward(ctx: Any, *grad_outputs: Tensor) -> Any:
        packed, scales = ctx.saved_tensors
        (gradient,) = grad_outputs
        weight = torch.ops.lexitrain.restored_4bit(packed, scales, ctx.shape, gradient.dtype)
        return torch.matmul(gradient, weight), None, None, None, None


class FourBitLinear(torch.nn.Module):
    """A frozen linear layer whose matrix is kept in NF4.

    Args:
        linear: the layer whose place it takes.
        compute: what its input is cast to, and its result cast back from; None: it has that type.
    """

    def __init__(self, linear: torch.nn.Linear, compute: torch.dtype | None = None) -> None:
        super().__init__()
        self.compute = compute
        self.in_features, self.out_features = linear.in_features, linear.out_features
        count = linear.weight.numel()
        packed = torch.empty(-(-count // 2), dtype=torch.uint8, device="meta")
        scales = torch.empty(nf4_bytes(count) - len(packed), dtype=torch.uint8, device="meta")
        self.packed = torch.nn.Parameter(packed, requires_grad=False)
        self.scales = torch.nn.Parameter(scales, requires_grad=False)
        self.bias = linear.bias

    def forward(self, x: Tensor) -> Tensor:
        """`x @ weight.T + bias`, the weight restored for the moment."""
        shape = [self.out_features, self.in_features]
        given = x if self.compute is None else x.to(self.compute)
        found: Any = _FourBitProduct.apply(given, self.packed, self.scales, self.bias, shape)
        return found.to(x.dtype)


def quantize(
    model: torch.nn.Module, keep: torch.nn.Module, compute: torch.dtype | None = None
) -> None:
    """Put stand-ins in 4 bits in the place of the frozen linear layers but `keep`, the output head, as loading does."""
    for module in list(model.modules()):
        for name, child in list(module.named_children()):
            if not isinstance(child, torch.nn.Linear) or child is keep:
                continue
            if not child.weight.requires_grad:
                setattr(module, name, FourBitLinear(child, compute))
