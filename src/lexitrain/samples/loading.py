"""From a folder that `data prepare` wrote to the samples of a run.

Reading, rendering and tokenizing happens once, about 0.1 ms a record; a resumed run takes the samples from its folder
as long as the key of what they were made from (`fingerprint.py`) is the same.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from datetime import date
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from lexitrain.errors import DataError
from lexitrain.records import TRAIN, VALIDATION, iterate_split, split_file
from lexitrain.runs import DataSummary, Run, first_day
from lexitrain.samples.data_files import file_facts
from lexitrain.samples.fingerprint import hash_of, samples_key, tokenizer_fingerprint
from lexitrain.samples.rendering import Renderer
from lexitrain.samples.stop_tokens import require_stop_tokens
from lexitrain.samples.store import Samples, collect, read_saved
from lexitrain.tasks import OWN_TASK, own_targets, unknown_task

if TYPE_CHECKING:
    from lexitrain.recipe import Recipe
    from lexitrain.records import Record
    from lexitrain.samples.sample import Sample
    from lexitrain.tasks import Task

_A_NUMBER = re.compile(r" \(about \d+\)")
"""What of a reason is different for each record."""
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
        notes: what the chat template makes different from what a reader of the data would expect.
    """

    train: Samples
    validation: Samples
    summary: DataSummary
    new: dict[str, str]
    notes: tuple[str, ...] = ()

    def save_new(self, run: Run) -> None:
        """Keep what was rendered now for the next start of this run."""
        for split, key in self.new.items():
            samples = self.train if split == TRAIN else self.validation
            samples.save(_saved(run, split), key)


def load_samples(
    run: Run,
    folder: Path,
    recipe: Recipe,
    registry: Mapping[str, Task],
    tokenizer: Any,
    *,
    day: date | None = None,
) -> RunSamples:
    """The run's samples, from its folder if they were made from these data, else rendered again. Writes nothing.

    Args:
        day: the date that a dated chat template writes in a run that has none yet; today's by default.

    Raises:
        DataError: a file is missing or unreadable, or no sample is left.
        TaskError: a task is unknown.
        ModelError: the tokenizer cannot be used, or samples do not end with a learnt end of turn.
    """
    require_known_tasks(recipe, registry)
    files = file_facts(folder)
    before = run.read_data() if run.data_file.is_file() else None
    day = first_day([run]) or day or date.today()
    renderer = Renderer(tokenizer, registry, recipe.data.max_length, day=day)
    written = renderer.template.date
    rendered_by = tokenizer_fingerprint(tokenizer, renderer.template.text, written)
    unfit: Counter[str] = Counter()
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
            splits[split] = collect(_rendered(path, renderer, recipe.data.tasks, unfit))
            require_stop_tokens(splits[split], renderer.stop_ids, path)
            new[split] = key
        else:
            splits[split] = saved.samples
    if not len(splits[TRAIN]):
        raise DataError(
            "There is no sample to train on.",
            where=split_file(folder, TRAIN),
            fix="Check data.tasks and data.max_length.",
        )
    if before is not None and not new:
        unfit.update(before.unfit)
    summary = _summary(folder, files, splits, dict(unfit.most_common()), written)
    return RunSamples(splits[TRAIN], splits[VALIDATION], summary, new, renderer.template.notes)


def _saved(run: Run, split: str) -> Path:
    return run.cache / f"{split}.safetensors"


def require_known_tasks(recipe: Recipe, registry: Mapping[str, Task]) -> None:
    """Check the tasks and the scores that the recipe names.

    Raises:
        TaskError: there is no such task; names the nearest one.
        RecipeError: a target is of no score, or none can reach it.
    """
    for field, names in (
        ("data.tasks", recipe.data.tasks),
        ("data.task_weights", recipe.data.task_weights),
    ):
        for name in names:
            if name not in registry:
                raise unknown_task(name, registry, where=field, fix=OWN_TASK)
    own_targets(recipe.evaluation.targets, registry, where="the recipe")


def _rendered(
    path: Path, renderer: Renderer, tasks: tuple[str, ...], unfit: Counter[str]
) -> Iterator[Sample | None]:
    """The samples of a split in its order; None for a record that cannot be rendered.

    Args:
        unfit: counts the reasons.

    Raises:
        TaskError: a record's task is unknown.
        DataError: none of the records can be rendered; it tells the first one's reason.
    """
    left_out: list[tuple[int, str]] = []
    told: dict[str, str] = {}  # reason -> the same with the place of the first
    rendered = False
    for rows, records in _batches(path, renderer, tasks):
        seen = len(left_out)
        samples = renderer.render_all(
            records, on_unfit=lambda row, why: left_out.append((row, why))
        )
        for sample in samples:
            rendered = True
            yield replace(sample, index=rows[sample.index])
        yield from [None] * (len(left_out) - seen)
        for index, why in left_out[seen:]:
            reason = _A_NUMBER.sub("", why)
            if reason not in told and len(told) >= _MOST_REASONS:
                reason = "Other reasons."
            unfit[told.setdefault(reason, f"{path.name}:{rows[index] + 1}: {reason}")] += 1
    if left_out and not rendered:
        why = left_out[0][1]
        raise DataError(f"None of the records can be used. The first one: {why}", where=path)


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
    folder: Path,
    files: Mapping[str, Mapping[str, Any]],
    splits: Mapping[str, Samples],
    unfit: dict[str, int],
    day: str,
) -> DataSummary:
    return DataSummary(
        folder=str(folder.resolve()),
        files={name: dict(facts) for name, facts in files.items()},
        samples={name: dict(sorted(Counter(each.tasks).items())) for name, each in splits.items()},
        skipped={name: each.skipped for name, each in splits.items()},
        truncated={name: int(each.cut.sum()) for name, each in splits.items()},
        token_lengths={name: _lengths(each) for name, each in splits.items() if len(each)},
        rendered_sha256=hash_of(*(each.sha256 for each in splits.values())),
        unfit=unfit,
        day=day,
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
