"""A sample: one record as the model sees it."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

Ids = NDArray[np.int32]
"""Token ids of one text."""


@dataclass(frozen=True, slots=True)
class Sample:
    """A record as the model sees it.

    Attributes:
        prompt_ids: int32 [P], P >= 1; the last one ends the assistant header.
        completion_ids: int32 [C], C >= 1; the answer and the end of turn. Of a conversation: all that follows the
            first assistant header, up to the last end of turn.
        supervised: bool [C]; where the completion token is a target: everywhere, but for the other side's turns.
        task: short name.
        index: row of the record in its file.
        truncated: whether the learner's text was shortened.
    """

    prompt_ids: Ids
    completion_ids: Ids
    supervised: NDArray[np.bool_]
    task: str
    index: int
    truncated: bool = False

    def __len__(self) -> int:
        return len(self.prompt_ids) + len(self.completion_ids)

    @property
    def token_ids(self) -> Ids:
        """Prompt and completion, int32 [P + C]."""
        return np.concatenate([self.prompt_ids, self.completion_ids])
