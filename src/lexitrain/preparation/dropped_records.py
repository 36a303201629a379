"""Records that are dropped, counted by task and reason, with the place of the first one of each kind; and when they are
too many."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass, field

from lexitrain.errors import DataError, number_of
from lexitrain.records import TOO_SHORT

Loss = tuple[str, str]
"""Task and reason."""

UNUSED_CELL = "empty cell of one of several --map"
"""A row that makes records of several tasks need not make one of each."""

ANOTHER_ANSWER = "exact duplicate with another answer"

_DISTINCT = 200  # reasons quote values, so that without a bound there might be as many as records
_LONGEST = 200  # characters of a reason: it may quote a whole text
_WORTH_JUDGING = 20  # dropped records from which a single task's share is judged
_VALUE = re.compile(r"'[^']*'|-?\d[\d.e+-]*")
_OUT_OF_RANGE = re.compile(r"output\.(\S+) is (-?[\d.e+]+), not between")


def shortened(reason: str, longest: int = _LONGEST) -> str:
    """The reason, without its middle where it has more characters than the longest."""
    if len(reason) <= longest:
        return reason
    half = longest // 2
    return f"{reason[:half]} … {reason[-half:]}"


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
        loss = (task, shortened(reason))
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

    def most_frequent(self, task: str | None = None) -> str:
        """The kind of loss that occurred most often (of a task, or of all), how often, and an example."""
        kinds: Counter[str] = Counter()
        for loss, count in self.counts.items():
            if task in (None, loss[0]):
                kinds[_VALUE.sub("…", loss[1])] += count
        kind, count = kinds.most_common(1)[0]
        of, reason = next(
            loss
            for loss in self.counts
            if task in (None, loss[0]) and _VALUE.sub("…", loss[1]) == kind
        )
        return f"Most often ({count:,}), here first:\n  {self.examples[of, reason]}: {reason}"

    def refuse_too_many(self, kept: Mapping[str, int], most: float) -> None:
        """Check the share of dropped records, in all and of each task.

        Args:
            kept: how many records of each task are not dropped.
            most: the share that may be dropped.

        Raises:
            DataError: there are more.
        """
        dropped: Counter[str] = Counter()
        for (task, reason), count in self.counts.items():
            # What is too short was asked for with --min-characters.
            if reason not in (TOO_SHORT, UNUSED_CELL):
                dropped[task] += count
        lost, left = dropped.total(), sum(kept.values())
        if lost > most * (lost + left):
            raise self._too_many(None, lost, lost + left, most)
        for task, count in dropped.items():
            read = count + kept.get(task, 0)
            if count >= _WORTH_JUDGING and count > most * read:
                raise self._too_many(task, count, read, most)

    def _too_many(self, task: str | None, lost: int, read: int, most: float) -> DataError:
        of = "" if task is None else f" of the task {task}"
        return DataError(
            f"{lost:,} of {number_of(read, 'record')}{of} would be dropped, more than --max-dropped {most:.3g}; "
            "nothing was "
            f"written. {self.most_frequent(task)}",
            fix=f"{self.remedy()} To go on without them, allow more with --max-dropped.",
        )

    def remedy(self) -> str:
        """What the user can do about the losses."""
        largest: dict[str, float] = {}
        for _, reason in self.counts:
            if found := _OUT_OF_RANGE.search(reason):
                largest[found[1]] = max(largest.get(found[1], 0.0), float(found[2]))
        for key, value in largest.items():
            return (
                f"Bring the numbers into the task's range, say those up to {value:g} with: "
                f"--map 'input=COLUMN,output.{key}=COLUMN/{value:g}'."
            )
        return "Mend the records, or name the right columns: --map 'input=COLUMN,output=COLUMN'."
