"""How fast and how large a file is where it answers: measured here, one prompt at a time."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING, Any

from lexitrain.serving import Completion, LlamaServer, completion

if TYPE_CHECKING:
    from lexitrain.samples import Sample


@dataclass(frozen=True, slots=True)
class Speed:
    """Attributes:
    load_seconds: from the start of the process until it listens.
    prompt_tokens_per_second: while prompts are read.
    tokens_per_second: while answers are written.
    memory_mb: of the process in the end, 10^6 bytes.
    answers: measured on.
    """

    load_seconds: float
    prompt_tokens_per_second: float | None
    tokens_per_second: float | None
    memory_mb: float
    answers: int

    def to_json(self) -> dict[str, Any]:
        """As JSON."""
        return asdict(self)


def speed_of(server: LlamaServer, samples: Sequence[Sample], most_tokens: int) -> Speed:
    """Answer prompts one after the other."""
    found: list[Completion] = [
        completion(server, sample.prompt_ids.tolist(), most_tokens=most_tokens)
        for sample in samples
    ]
    read = sum(each.prompt_seconds for each in found)
    written = sum(each.seconds for each in found)
    return Speed(
        load_seconds=server.seconds_to_load,
        prompt_tokens_per_second=sum(each.prompt_tokens for each in found) / read if read else None,
        tokens_per_second=sum(len(each.tokens) for each in found) / written if written else None,
        memory_mb=server.memory_bytes() / 1e6,
        answers=len(found),
    )
