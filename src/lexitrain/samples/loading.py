"""From a folder that `data prepare` wrote to the samples of a run.

Reading, rendering and tokenizing happens once, about 0.1 ms a record; a resumed run takes the samples from its folder
as long as the key of what they were made from (`fingerprint.py`) is the same.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from lexitrain.errors import DataError
from lexitrain.records import TRAIN, VALIDATION, iterate_split, split_file
from lexitrain.runs import DataSummary, Run
from lexitrain.samples.chat_template import Note
from lexitrain.samples.data_files import file_facts
from lexitrain.samples.fingerprint import hash_of, samples_key, tokenizer_fingerprint
from lexitrain.samples.rendering import Renderer
from lexitrain.samples.store import Samples, collect, read_saved
from lexitrain.samples.template_date import date_in
from lexitrain.tasks import unknown_task

if TYPE_CHECKING:
    from lexitrain.recipe import Recipe
    from lexitrain.records import Record
    from lexitrain.samples.sample import Sample
    from lexitrain.tasks import Task

_MOST_REASONS = 20
_BATCH = 2000
"""Records that are read and rendered at a time, so that memory never holds all of them."""


@dataclass(frozen=True)
class RunSamples:
    """The samples of a run and what is known about them.

    Attributes:
        train, validation: in the order of their files.
        summary: what data.json of the run holds.
        new: split -> key, of the samples that were rendered now and are not in the run's folder yet.
        notes: what is done otherwise than the base's chat template alone would.
    """

    train: Samples
    validation: Samples
    summary: DataSummary
    new: dict[str, str]
    notes: tuple[Note, ...] = ()

    def save_new(self, run: Run) -> None:
        """Keep what was rendered now for the next start of this run."""
        for split, key in self.new.items():
            samples = self.train if split == TRAIN else self.validation
            samples.save(_saved(run, split), key)


@dataclass(slots=True)
class _LeftOut:
    """Records without a sample, by reason.

    Attributes:
        file: of the records.
        refused: reason with the place of the first -> how many.
        first: why the first one was left out.
    """

    file: Path
    first: str = ""
    skipped: int = 0
    refused: dict[str, int] = field(default_factory=dict[str, int])
    _places: dict[str, str] = field(default_factory=dict[str, str])

    def too_long(self, reason: str) -> None:
        self.first = self.first or reason
        self.skipped += 1

    def refuse(self, row: int, reason: str) -> None:
        self.too_long(reason)
        if reason not in self._places and len(self._places) >= _MOST_REASONS:
            reason = "other reasons"
        place = f"{self.file.name}:{row + 1}"
        told = self._places.setdefault(reason, f"{reason} First: {place}")
        self.refused[told] = self.refused.get(told, 0) + 1


def load_samples(
    run: Run, folder: Path, recipe: Recipe, registry: Mapping[str, Task], tokenizer: Any
) -> RunSamples:
    """The run's samples, from its folder if they were made from these data, else rendered again. Writes nothing.

    Raises:
        DataError: a file is missing or unreadable, or no sample is left.
        TaskError: a task is unknown.
        ModelError: the tokenizer cannot be used.
    """
    require_known_tasks(recipe, registry)
    files = file_facts(folder)
    renderer = Renderer(tokenizer, registry, recipe.data.max_length)
    rendered_by = tokenizer_fingerprint(tokenizer)
    splits: dict[str, Samples] = {}
    new: dict[str, str] = {}
    for split in (TRAIN, VALIDATION):
        path = split_file(folder, split)
        if path.name not in files:
            splits[split] = collect(())
            continue
        key = samples_key(files[path.name]["sha256"], rendered_by, recipe.data, registry)
        saved = read_saved(_saved(run, split), key)
        if saved is None:
            left_out = _LeftOut(path)
            samples = collect(_rendered(path, renderer, recipe.data.tasks, left_out))
            refused = dict(sorted(left_out.refused.items(), key=lambda each: -each[1]))
            splits[split] = replace(samples, skipped=left_out.skipped, refused=refused)
            new[split] = key
        else:
            splits[split] = saved.samples
    if not len(splits[TRAIN]):
        raise DataError(
            "There is no sample to train on.",
            where=split_file(folder, TRAIN),
            fix="Check data.tasks and data.max_length.",
        )
    written = date_in(str(tokenizer.chat_template))
    summary = replace(_summary(folder, files, splits), template_date=written)
    return RunSamples(splits[TRAIN], splits[VALIDATION], summary, new, renderer.notes)


def _saved(run: Run, split: str) -> Path:
    return run.cache / f"{split}.safetensors"


def require_known_tasks(recipe: Recipe, registry: Mapping[str, Task]) -> None:
    """Check the tasks that the recipe names. Raises TaskError naming the nearest one."""
    for setting, names in (
        ("data.tasks", recipe.data.tasks),
        ("data.task_weights", recipe.data.task_weights),
    ):
        for name in names:
            if name not in registry:
                raise unknown_task(name, registry, where=setting)


def _rendered(
    path: Path, renderer: Renderer, tasks: tuple[str, ...], left_out: _LeftOut
) -> Iterator[Sample]:
    """The samples of a split in its order.

    Raises:
        TaskError: a record's task is unknown.
        DataError: none of the records can be rendered; it tells the first one's reason.
    """
    rendered = False
    for rows, records in _batches(path, renderer, tasks):
        samples = renderer.render_all(
            records,
            on_unfit=lambda _, why: left_out.too_long(why),
            on_refused=lambda row, why, rows=rows: left_out.refuse(rows[row], why),
        )
        for sample in samples:
            rendered = True
            yield replace(sample, index=rows[sample.index])
    if left_out.skipped and not rendered:
        raise DataError(
            f"None of the records can be used. The first one: {left_out.first}", where=path
        )


def _batches(
    path: Path, renderer: Renderer, tasks: tuple[str, ...]
) -> Iterator[tuple[list[int], list[Record]]]:
    """The records to train on with their rows, some thousand at a time."""
    rows: list[int] = []
    records: list[Record] = []
    for row, record in enumerate(iterate_split(path)):
        if tasks and record.task not in tasks:
            continue
        renderer.task(record)  # an unknown task is an error, not one more record that does not fit
        rows.append(row)
        records.append(record)
        if len(rows) == _BATCH:
            yield rows, records
            rows, records = [], []
    yield rows, records


def _summary(
    folder: Path, files: Mapping[str, Mapping[str, Any]], splits: Mapping[str, Samples]
) -> DataSummary:
    return DataSummary(
        folder=str(folder.resolve()),
        files={name: dict(facts) for name, facts in files.items()},
        samples={name: dict(sorted(Counter(each.tasks).items())) for name, each in splits.items()},
        skipped={name: each.skipped for name, each in splits.items()},
        refused={name: dict(each.refused) for name, each in splits.items() if each.refused},
        truncated={name: int(each.cut.sum()) for name, each in splits.items()},
        token_lengths={name: _lengths(each) for name, each in splits.items() if len(each)},
        rendered_sha256=hash_of(*(each.sha256 for each in splits.values())),
    )


def _lengths(samples: Samples) -> dict[str, float]:
    lengths = samples.lengths
    p50, p90, p99 = (float(each) for each in np.percentile(lengths, [50, 90, 99]))
    return {
        "mean": round(float(lengths.mean()), 2),
        "p50": p50,
        "p90": p90,
        "p99": p99,
        "max": float(lengths.max()),
    }
