"""A loaded model's answers to records, scored without a run or a file of records."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from datetime import date
from typing import Any

from lexitrain.evaluation import Decoding
from lexitrain.evaluation.scoring import Evaluation, Progress, evaluate_source
from lexitrain.evaluation.sources.answer_source import LoadedAnswerSource
from lexitrain.records import Record
from lexitrain.samples import Renderer
from lexitrain.tasks import Task


def evaluate_records(
    model: Any,
    tokenizer: Any,
    rows: Sequence[tuple[int, Record]],
    registry: Mapping[str, Task],
    *,
    train_records: Sequence[Record],
    max_length: int,
    day: date | None = None,
    decoding: Decoding | None = None,
    batch_size: int = 64,
    select: Callable[[str], None] | None = None,
    progress: Progress | None = None,
) -> Evaluation:
    """Generate an answer to each record and score them."""
    renderer = Renderer(tokenizer, registry, max_length, day=day)
    source = LoadedAnswerSource(model, renderer, batch_size=batch_size, select=select)
    return evaluate_source(
        source,
        rows,
        registry,
        train_records=train_records,
        decoding=decoding,
        progress=progress,
    )
