"""What an endpoint offers to its clients."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field

from lexitrain.errors import TaskError


def _none(_: object) -> str:
    raise TaskError("No schema of a client's is taken here.")


@dataclass(frozen=True, slots=True)
class Offer:
    """What an endpoint offers.

    Attributes:
        model: name of the file.
        adapters: names, in the order in which llama.cpp has them.
        grammars: task -> grammar in GBNF.
        systems: task -> the system turn of its prompts; under an empty name that of conversations without one.
        held_to: JSON Schema of a client's -> grammar in GBNF; raises TaskError where it cannot hold an answer to that.
        plain: makes a turn's text such that the model reads it as text alone.
        key: that clients need; empty: none.
    """

    model: str
    adapters: Sequence[str] = ()
    grammars: Mapping[str, str] = field(default_factory=dict[str, str])
    systems: Mapping[str, str] = field(default_factory=dict[str, str])
    held_to: Callable[[object], str] = _none
    plain: Callable[[str], str] = str
    key: str = ""
