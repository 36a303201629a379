"""Records that are dropped, counted by task and reason, with the place of the first one of each kind."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass, field

Loss = tuple[str, str]
"""Task and reason."""

_DISTINCT = 200  # reasons quote values, so that without a bound there might be as many as records


@dataclass(slots=True)
class DroppedRecords:
    """How often each loss occurred, and where first.

    Attributes:
        counts: by loss, in order of first appearance.
        examples: `file:line` of the first record; a loss that is only found by comparing records has none.
    """

    counts: Counter[Loss] = field(default_factory=Counter[Loss])
    examples: dict[Loss, str] = field(default_factory=dict[Loss, str])

    def add(self, task: str, reason: str, example: str, count: int = 1) -> None:
        """Count a loss; under a name that stands for many where there are too many different ones already."""
        loss = (task, reason)
        if loss not in self.counts and len(self.counts) >= _DISTINCT:
            loss = (task, "invalid: other reasons")
        self.counts[loss] += count
        self.examples.setdefault(loss, example)

    def add_all(self, later: DroppedRecords) -> None:
        """Count the losses of a later part of the input too."""
        for (task, reason), count in later.counts.items():
            self.add(task, reason, later.examples[task, reason], count)

    def add_repeated(self, task: str, reason: str, count: int) -> None:
        """Count records that repeat others: always under their own name, as there are only a few."""
        if count:
            self.counts[task, reason] += count
