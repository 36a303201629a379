"""What a GGUF file asks of a phone: memory, computed; speed, predicted from published measurements.

Writing a token reads the whole file once, so that speed falls with its size. Published for llama.cpp with four bits on
a Samsung S20 FE: 32 tokens/s with 0.5 billion parameters and 16.8 with 1.5 billion, which with files of 0.4 and 1.0 GB
is 12.8 and 16.8 GB/s. An iPhone 16 Pro halved its speed with the larger one within two rounds, as it grew warm. Neither
was measured here.
"""

from __future__ import annotations

from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING, Any

from lexitrain.exporting.gguf.families import head_size

if TYPE_CHECKING:
    from transformers import PretrainedConfig

_READ_PER_SECOND = (12.8e9, 16.8e9)
_FASTEST = 60.0  # tokens/s: smaller models are held up by other things than reading
_BUFFERS = 100e6
"""Bytes that llama.cpp takes besides, for a vocabulary of 150,000 and half a thousand tokens at once."""
_PHONES = (4, 6, 8)


@dataclass(frozen=True, slots=True)
class PhoneBudget:
    """Attributes:
    memory_mb: file, cache of a whole context and buffers, 10^6 bytes.
    context: tokens.
    tokens_per_second: lowest and highest prediction; None: more than 60, where reading does not decide.
    smallest_phone_gb: memory of the smallest phone of which that is at most half; None: it takes more than 8 GB.
    """

    memory_mb: float
    context: int
    tokens_per_second: tuple[float, float] | None
    smallest_phone_gb: int | None

    def to_json(self) -> dict[str, Any]:
        """As JSON."""
        return asdict(self)


def phone_budget(file_bytes: int, config: PretrainedConfig, context: int) -> PhoneBudget:
    """The budget of a file.

    Args:
        context: tokens that a prompt and its answer may have together.
    """
    shape: Any = config
    # Keys and values of each layer, in two bytes a number.
    cache = (
        2 * shape.num_hidden_layers * shape.num_key_value_heads * head_size(config) * 2 * context
    )
    memory = file_bytes + cache + _BUFFERS
    low, high = (rate / file_bytes for rate in _READ_PER_SECOND)
    return PhoneBudget(
        memory / 1e6,
        context,
        None if low > _FASTEST else (low, min(high, _FASTEST)),
        next((size for size in _PHONES if memory <= size * 1e9 / 2), None),
    )
