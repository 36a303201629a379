"""How answers are chosen from what the model finds likely: one value that goes from the command line to generation."""

from __future__ import annotations

import hashlib
from dataclasses import asdict, dataclass
from math import isfinite
from typing import Any

import numpy as np
from numpy.typing import NDArray

from lexitrain.errors import InputError


@dataclass(frozen=True, slots=True)
class Decoding:
    """How answers are chosen. By default the most likely token each time, so that the same model answers the same.

    A token is sampled by one number between 0 and 1. These numbers are a stream of their own for every answer, made
    of the seed, the prompt's tokens and the number of the sample, and of nothing else: not of the batch, the order of
    the prompts, or what else is asked. Equal prompts therefore have equal answers of the same number.

    Attributes:
        temperature: what logits are divided by before a token is drawn; 0 takes the most likely one.
        samples: answers to each prompt.
        seed: of the draws; without meaning where nothing is drawn.
        json_schema: whether answers of a task are held to its schema.

    Raises:
        InputError: a value that cannot be, or several samples of what is always the same.
    """

    temperature: float = 0.0
    samples: int = 1
    seed: int = 0
    json_schema: bool = False

    def __post_init__(self) -> None:
        if not (isfinite(self.temperature) and self.temperature >= 0):
            raise InputError(
                f"The temperature is {self.temperature}.",
                where="--temperature",
                fix="Give 0 for the most likely answer, or a number above it, such as 0.7.",
            )
        if self.samples < 1:
            raise InputError(
                f"{self.samples} samples are no answer.", where="--samples", fix="Give 1 or more."
            )
        if self.samples > 1 and not self.sampled:
            raise InputError(
                f"At temperature 0 all {self.samples} samples would be the same.",
                where="--samples",
                fix="Give a --temperature above 0, such as 0.7, or leave --samples out.",
            )
        if self.seed < 0:
            raise InputError(f"The seed is {self.seed}.", where="--seed", fix="Give 0 or more.")

    @property
    def sampled(self) -> bool:
        """Whether tokens are drawn."""
        return self.temperature > 0

    @property
    def label(self) -> str:
        """What tells its evaluation from one with the default, as a part of a file's name; empty for the default."""
        drawn = [f"t{self.temperature:g}", f"n{self.samples}", f"seed{self.seed}"]
        return "-".join(
            [*(drawn if self.sampled else []), *(["schema"] if self.json_schema else [])]
        )

    def to_json(self) -> dict[str, Any]:
        """As it stands in a report."""
        return asdict(self)

    def draws(self, prompt: NDArray[np.int32], sample: int, count: int) -> NDArray[np.float64]:
        """The numbers in [0, 1) by which the tokens of one answer are drawn.

        They come from Philox (Salmon et al. 2011), a counter-based generator: the key is a hash of seed, sample and
        prompt, the counter the token's number. A longer answer has the same numbers first.

        Args:
            prompt: int [P].
            sample: its number, from 0.
            count: how many.

        Returns:
            float64 [count], multiples of 2 to the power of -53.
        """
        said = f"{self.seed} {sample} ".encode() + np.asarray(prompt, np.int32).tobytes()
        key = int.from_bytes(hashlib.blake2b(said, digest_size=16).digest(), "little")
        drawn = np.random.Philox(key=key).random_raw(count) >> np.uint64(11)
        return np.asarray(drawn * 2.0**-53, dtype=np.float64)
