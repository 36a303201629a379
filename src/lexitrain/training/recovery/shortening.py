"""Shorter samples, the third rung of the memory ladder: those longer than a limit are rendered anew within it.

The rule is the renderer's own: the learner's text is shortened, never the instruction or the answer. A sample whose
answer alone leaves no room stays as it is, so that every step keeps its samples. Costs one pass over train.jsonl.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass, replace
from datetime import date
from pathlib import Path
from typing import TYPE_CHECKING, Any

from lexitrain.records import iterate_split
from lexitrain.samples import Renderer, Samples, collect

if TYPE_CHECKING:
    from lexitrain.records import Record
    from lexitrain.samples import Sample
    from lexitrain.tasks import Task


@dataclass(frozen=True)
class Shortener:
    """Shortens the training samples of a run.

    Attributes:
        file: the records they were made from.
        registry: tasks by short name.
        tokenizer: that of the base.
        day: that a dated chat template writes; None where it writes none.
    """

    file: Path
    registry: Mapping[str, Task]
    tokenizer: Any
    day: date | None = None

    def shortened(self, samples: Samples, max_length: int) -> tuple[Samples, int, int]:
        """`samples` in their order, none longer than `max_length` where its answer allows.

        Returns:
            The samples, how many were shortened, and how many stayed longer than `max_length`.
        """
        lengths = samples.lengths
        long = {int(row) for row, n in zip(samples.rows, lengths, strict=True) if n > max_length}
        given = Counter(int(row) for row in samples.rows)
        rows: list[int] = []
        records: list[Record] = []
        for row, record in enumerate(iterate_split(self.file)):
            if row in long:
                rows.append(row)
                records.append(record)
        renderer = Renderer(self.tokenizer, self.registry, max_length, day=self.day)
        rendered = renderer.render_all(records, on_unfit=lambda _row, _why: None)
        short: dict[int, list[Sample]] = {}
        for each in rendered:
            short.setdefault(rows[each.index], []).append(replace(each, index=rows[each.index]))
        # A conversation may have given several samples, which are all shortened, in their order.
        short = {row: parts for row, parts in short.items() if len(parts) == given[row]}
        left = {row: iter(parts) for row, parts in short.items()}
        new = collect(next(left[each.index]) if each.index in left else each for each in samples)
        # Task numbers follow the order of first appearance, which is unchanged; skipped records stay counted.
        return replace(new, skipped=samples.skipped), len(short), len(long) - len(short)
