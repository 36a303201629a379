"""In which type each tensor of a GGUF file is written: the mixtures of llama.cpp's own quantizer.

`Q4_K_M` is no type but a mixture: most matrices in Q4_K, some in Q6_K. A type that needs rows of a multiple of 256
numbers falls back to one of 32 where a matrix has others, so that a file of a small model is larger than its name says;
`llama.cpp` does so too, and what was written is told tensor by tensor. The rules are those of `src/llama-quant.cpp` for
models without experts and with other than 80 layers.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from lexitrain.errors import InputError, nearest

if TYPE_CHECKING:
    from gguf import GGMLQuantizationType

#: What a rule is given: layer, number of layers, query heads per key head.
_Rule = Callable[[int, int, int], str | None]


def _more(layer: int, layers: int) -> bool:
    """The first and the last eighth of the layers, and every third one between."""
    eighth = layers // 8
    return layer < eighth or layer >= 7 * layers // 8 or (layer - eighth) % 3 == 2


@dataclass(frozen=True, slots=True)
class Mixture:
    """A way to quantize a model.

    Attributes:
        type: of most matrices.
        file_type: its name among GGUF's file types.
        rules: kind of matrix -> its type by layer, number of layers and query heads per key head; None: `type`.
        measured: the same where it was measured which inputs matter; they come first.
    """

    type: str
    file_type: str
    rules: dict[str, _Rule] = field(default_factory=dict[str, _Rule])
    measured: dict[str, _Rule] = field(default_factory=dict[str, _Rule])


def _larger_where(kind: str, larger: str, rule: Callable[[int, int], bool]) -> dict[str, _Rule]:
    return {kind: lambda layer, layers, _: larger if rule(layer, layers) else None}


MIXTURES: dict[str, Mixture] = {
    "F32": Mixture("F32", "ALL_F32"),
    "F16": Mixture("F16", "MOSTLY_F16"),
    "BF16": Mixture("BF16", "MOSTLY_BF16"),
    "Q8_0": Mixture("Q8_0", "MOSTLY_Q8_0"),
    "Q6_K": Mixture("Q6_K", "MOSTLY_Q6_K"),
    "Q5_K_M": Mixture(
        "Q5_K",
        "MOSTLY_Q5_K_M",
        {**_larger_where("attn_v", "Q6_K", _more), **_larger_where("ffn_down", "Q6_K", _more)},
    ),
    "Q5_K_S": Mixture("Q5_K", "MOSTLY_Q5_K_S"),
    "Q4_K_M": Mixture(
        "Q4_K",
        "MOSTLY_Q4_K_M",
        {**_larger_where("attn_v", "Q6_K", _more), **_larger_where("ffn_down", "Q6_K", _more)},
    ),
    "Q4_K_S": Mixture(
        "Q4_K",
        "MOSTLY_Q4_K_S",
        {
            **_larger_where("attn_v", "Q5_K", lambda layer, _: layer < 4),
            **_larger_where("ffn_down", "Q5_K", lambda layer, layers: layer < layers // 8),
        },
    ),
    "Q3_K_L": Mixture(
        "Q3_K",
        "MOSTLY_Q3_K_L",
        {kind: lambda *_: "Q5_K" for kind in ("attn_v", "ffn_down", "attn_output")},
    ),
    "Q3_K_M": Mixture(
        "Q3_K",
        "MOSTLY_Q3_K_M",
        {
            "attn_v": lambda layer, *_: "Q5_K" if layer < 2 else "Q4_K",
            "ffn_down": lambda layer, layers, _: "Q5_K" if layer < layers // 16 else "Q4_K",
            "attn_output": lambda *_: "Q4_K",
        },
    ),
    "Q3_K_S": Mixture("Q3_K", "MOSTLY_Q3_K_S"),
    "Q2_K": Mixture(
        "Q2_K",
        "MOSTLY_Q2_K",
        {
            "attn_v": lambda _layer, _layers, queries: "Q4_K" if queries >= 4 else "Q3_K",
            "ffn_down": lambda *_: "Q3_K",
            "attn_output": lambda *_: "Q3_K",
        },
    ),
    "Q4_0": Mixture(
        "Q4_0",
        "MOSTLY_Q4_0",
        measured=_larger_where("ffn_down", "Q4_1", lambda layer, layers: layer < layers // 8),
    ),
}
"""Name on the command line -> mixture, from the largest file to the smallest."""

_FALLBACK = {"Q2_K": "Q4_0", "Q3_K": "Q4_0", "Q4_K": "Q5_0", "Q5_K": "Q5_1", "Q6_K": "Q8_0"}
"""Type with rows of 256 -> the one with rows of 32 that stands in for it."""

_PLAIN = {"F32", "F16", "BF16"}


def mixture(name: str) -> Mixture:
    """The mixture of a name, in whatever case.

    Raises:
        InputError: there is none.
    """
    found = MIXTURES.get(name.upper())
    if found is None:
        close = nearest(name.upper(), MIXTURES)
        raise InputError(
            f"There is no quantization {name!r}.",
            where="--quantize",
            fix=(f"Did you mean {close}? " if close else "") + f"There are: {', '.join(MIXTURES)}.",
        )
    return found


def tensor_type(
    chosen: Mixture,
    name: str,
    row: int,
    *,
    layers: int,
    queries_per_key: int,
    tied: bool,
    measured: bool = False,
) -> GGMLQuantizationType:
    """The type of a matrix.

    Args:
        name: of the tensor in GGUF, such as `blk.3.attn_v.weight`.
        row: numbers of a row: what the layer takes.
        layers: of the model.
        queries_per_key: query heads that share a key head.
        tied: whether the embedding is the head.
        measured: whether it was measured which inputs matter.
    """
    from gguf import GGMLQuantizationType

    if chosen.type in _PLAIN:
        return GGMLQuantizationType[chosen.type]
    wanted = chosen.type
    if name == "output.weight" or (tied and name == "token_embd.weight"):
        if row % _block(wanted):
            wanted = "Q8_0"
        elif wanted != "Q8_0":
            wanted = "Q6_K"
    elif name.startswith("blk."):
        _, layer, kind, _ = name.split(".")
        rules = {**chosen.rules, **(chosen.measured if measured else {})}
        if rule := rules.get(kind):
            wanted = rule(int(layer), layers, queries_per_key) or wanted
    return GGMLQuantizationType[_fitting(wanted, row)]


def _fitting(wanted: str, row: int) -> str:
    if row % _block(wanted) == 0:
        return wanted
    smaller = _FALLBACK.get(wanted, "F16")
    return smaller if row % _block(smaller) == 0 else "F16"


def _block(name: str) -> int:
    from gguf import GGML_QUANT_SIZES, GGMLQuantizationType

    return GGML_QUANT_SIZES[GGMLQuantizationType[name]][0]
