"""What an endpoint offers to its clients."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field


@dataclass(frozen=True, slots=True)
class Offer:
    """What an endpoint offers.

    Attributes:
        model: name of the file.
        adapters: names, in the order in which llama.cpp has them.
        grammars: task -> grammar in GBNF.
        plain: makes a turn's text such that the model reads it as text alone.
        key: that clients need; empty: none.
    """

    model: str
    adapters: Sequence[str] = ()
    grammars: Mapping[str, str] = field(default_factory=dict[str, str])
    plain: Callable[[str], str] = str
    key: str = ""
