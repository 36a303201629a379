"""The shape of a decoder as Llama and Qwen build it: widths, and the matrices that they make.

Cuts, adapters and checkpoints are reckoned from it. It comes from a base's configuration alone, without torch.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from lexitrain.errors import ModelError

if TYPE_CHECKING:
    from transformers import PretrainedConfig


_FIELDS = (
    "hidden_size",
    "num_hidden_layers",
    "num_attention_heads",
    "num_key_value_heads",
    "head_dim",
    "intermediate_size",
)


@dataclass(frozen=True, slots=True)
class DecoderShape:
    """Sizes of one decoder.

    Attributes:
        hidden: width of the hidden states.
        layers: decoder layers, all alike.
        heads: query heads.
        key_value_heads: key heads, and value heads; several query heads may share one.
        head_dimension: width of a head.
        intermediate: width inside the feed-forward part.
    """

    hidden: int
    layers: int
    heads: int
    key_value_heads: int
    head_dimension: int
    intermediate: int

    @classmethod
    def of_config(cls, config: Mapping[str, Any] | PretrainedConfig) -> DecoderShape:
        """The shape in a configuration.

        Args:
            config: transformers' own object, or the content of config.json. Where it says nothing else, each query
                head has its own key and value, and the heads divide the hidden width.

        Raises:
            ModelError: it does not state a size that has no default.
        """

        stated = _sizes(config)

        def size(name: str, default: int | None = None) -> int:
            found = stated[name] or default
            if found is None:
                raise ModelError(
                    f"The base's configuration does not say {name}.",
                    where="model.base",
                    fix="Use a base such as Qwen2.5, Llama or SmolLM2.",
                )
            return int(found)

        hidden, heads = size("hidden_size"), size("num_attention_heads")
        return cls(
            hidden=hidden,
            layers=size("num_hidden_layers"),
            heads=heads,
            key_value_heads=size("num_key_value_heads", heads),
            head_dimension=size("head_dim", hidden // heads),
            intermediate=size("intermediate_size"),
        )

    @property
    def attention_width(self) -> int:
        """Width of all queries of a position: heads x head dimension."""
        return self.heads * self.head_dimension

    @property
    def key_value_width(self) -> int:
        """Width of all keys of a position, and of all values."""
        return self.key_value_heads * self.head_dimension

    @property
    def projections(self) -> dict[str, tuple[int, int]]:
        """Inputs and outputs of each matrix of a layer, by the name that Llama and Qwen give it."""
        hidden, inner = self.hidden, self.intermediate
        return {
            "q_proj": (hidden, self.attention_width),
            "k_proj": (hidden, self.key_value_width),
            "v_proj": (hidden, self.key_value_width),
            "o_proj": (self.attention_width, hidden),
            "gate_proj": (hidden, inner),
            "up_proj": (hidden, inner),
            "down_proj": (inner, hidden),
        }

    @property
    def weights_per_layer(self) -> int:
        """Weights in the matrices of one layer; norms and biases are left out."""
        return sum(inputs * outputs for inputs, outputs in self.projections.values())

    def adapter_sizes(
        self, rank: int, targets: Iterable[str], layers: Collection[int] = ()
    ) -> list[int]:
        """Elements of each LoRA matrix: for every target of every layer A, [rank, inputs], and B, [outputs, rank].

        Args:
            rank, targets: of the adapter.
            layers: numbers of the layers that have one; empty for all.

        Targets with names that `projections` does not have count as two empty ones.
        """
        known = self.projections
        layer = [rank * width for target in targets for width in known.get(target, (0, 0))]
        return layer * (len(layers) or self.layers)


def _sizes(config: Mapping[str, Any] | PretrainedConfig) -> dict[str, Any]:
    """The sizes that a configuration states. Attributes, not `to_dict()`: some configurations name theirs otherwise and
    answer to these names all the same.
    """
    if isinstance(config, Mapping):
        return {name: config.get(name) for name in _FIELDS}
    return {name: getattr(config, name, None) for name in _FIELDS}
