"""The product's own masks in a base's own code.

transformers lets a base ask for its masks and its attention by the name of an implementation. Under the name that is
registered here a base gets the masks that `masked_by` says, one for its layers with full attention and one for those
with a sliding window: which layer has which stays the business of the base's own code. The rule that the base asks for
is not believed by its name but evaluated, and one that is neither of the two is refused.

Where no masks are said, the base computes what it would compute anyhow.
"""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from typing import Any, Protocol, TypeVar

import torch
from torch import Tensor
from torch.utils._python_dispatch import _disable_current_modes

from lexitrain.errors import ModelError
from lexitrain.models.attention.flex import attend_in_tiles

T = TypeVar("T")

_NAME = "lexitrain"
_EXTRAS = ("softcap", "s_aux", "position_bias")
"""What a layer may hand to its attention that changes its numbers, by transformers' names."""


class Attends(Protocol):
    """A mask that computes the attention itself."""

    def attend(self, query: Tensor, key: Tensor, value: Tensor, scale: float | None) -> Tensor:
        """Attention [B, heads, L, d] of queries [B, heads, L, d] over keys and values [B, key heads, L, d]."""
        ...


class Masks(Protocol):
    """Says who sees whom in the rows of a forward pass."""

    def mask(self, window: int | None) -> Any:
        """For layers in which a query sees the nearest `window` tokens of its path, or all of them (None).

        A tensor [B, 1, queries, keys], boolean or additive; a BlockMask of FlexAttention; or a mask that `Attends`.
        """
        ...


_masks: ContextVar[Masks | None] = ContextVar("masks", default=None)


def use_own_masks(base: Any) -> None:
    """Let all layers of a base (no PEFT wrapper) ask here for masks and attention."""
    from transformers.masking_utils import ALL_MASK_ATTENTION_FUNCTIONS
    from transformers.modeling_utils import ALL_ATTENTION_FUNCTIONS

    if base.config._attn_implementation == _NAME:
        return
    ALL_ATTENTION_FUNCTIONS.register(_NAME, _attend)
    ALL_MASK_ATTENTION_FUNCTIONS.register(_NAME, _mask)
    base.set_attn_implementation(_NAME)


def with_its_attention(build: Callable[[str], T]) -> T:
    """A base built with PyTorch's attention, or with its family's own where it has no other.

    Args:
        build: from transformers' name of an implementation.
    """
    try:
        return build("sdpa")
    except ValueError as error:
        if "scaled_dot_product_attention" not in str(error):
            raise
        return build("eager")


@contextmanager
def masked_by(masks: Masks) -> Iterator[None]:
    """Forward passes in this context get these masks. Their backward passes need no context."""
    token = _masks.set(masks)
    try:
        yield
    finally:
        _masks.reset(token)


def _mask(
    mask_function: Callable[..., Tensor], local_size: int | None = None, **options: Any
) -> Any:
    """What a base gets when it asks for the mask of one kind of its layers."""
    from transformers.masking_utils import sdpa_mask

    masks = _masks.get()
    if masks is None:
        options["allow_is_causal_skip"] = False
        return sdpa_mask(mask_function=mask_function, local_size=local_size, **options)
    _require_rule(mask_function, local_size)
    return masks.mask(local_size)


_proven: set[tuple[Any, int | None]] = set()


def _require_rule(mask_function: Callable[..., Tensor], window: int | None) -> None:
    """Nothing, when a mask function of transformers means: itself and what is before, or the nearest `window` of it.

    Raises:
        ModelError: it means something else, such as chunks or images whose tokens see each other.
    """
    asked = _code_of(mask_function), window
    if asked in _proven:
        return
    reach = window or 8
    with _disable_current_modes():  # a rehearsal watches and would count this
        key = torch.arange(3 * reach + 2)
        query = torch.tensor([0, reach - 1, reach, reach + 1, 2 * reach, 3 * reach + 1])[:, None]
        first = torch.zeros((), dtype=torch.long)
        found = mask_function(first, first, query, key).expand(len(query), len(key))
        wanted = key <= query if window is None else (key <= query) & (query - key < window)
        same = torch.equal(found, wanted)
    if not same:
        raise ModelError(
            "The layers of this base see each other by a rule of its own, which several samples in a row would break.",
            where="model.base",
            fix="Use step.layout=padded, or another base.",
        )
    _proven.add(asked)


def _code_of(function: Any) -> tuple[Any, ...]:
    """What tells two mask functions apart: their code, and that of the functions they are made of."""
    cells = [cell.cell_contents for cell in getattr(function, "__closure__", None) or ()]
    parts = [part for cell in cells for part in (cell if isinstance(cell, tuple) else (cell,))]
    inner = tuple(_code_of(part) for part in parts if callable(part))
    return (getattr(function, "__code__", function), *inner)


def _attend(
    module: torch.nn.Module,
    query: Tensor,
    key: Tensor,
    value: Tensor,
    attention_mask: Any,
    scaling: float | None = None,
    **options: Any,
) -> tuple[Tensor, Any]:
    """Attention [B, L, heads, d] of queries [B, heads, L, d] over keys and values [B, key heads, L, d]."""
    from transformers.integrations.sdpa_attention import sdpa_attention_forward

    arguments: Any = (module, query, key, value, attention_mask)
    extras = [name for name in _EXTRAS if options.get(name) is not None]
    if isinstance(attention_mask, Tensor):
        if not extras:
            return sdpa_attention_forward(*arguments, scaling=scaling, **options)
        return _eager(*arguments, scaling=scaling, **options)
    if attention_mask is None or extras:
        raise RuntimeError(f"the base's layers do not pass on what attention needs {extras}")
    if hasattr(attention_mask, "attend"):
        return attention_mask.attend(query, key, value, scaling).transpose(1, 2), None
    return attend_in_tiles(query, key, value, attention_mask, scaling).transpose(1, 2), None


def _eager(
    module: torch.nn.Module,
    query: Tensor,
    key: Tensor,
    value: Tensor,
    mask: Tensor,
    **options: Any,
) -> tuple[Tensor, Any]:
    """The family's own plain attention, which knows what its layers hand to it."""
    own = sys.modules[type(module).__module__].eager_attention_forward
    if mask.dtype is torch.bool:
        mask = torch.zeros(mask.shape, dtype=query.dtype, device=mask.device).masked_fill_(
            ~mask, float("-inf")
        )
    return own(module, query, key, value, mask, **options)
