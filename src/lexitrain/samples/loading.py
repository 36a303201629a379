"""From a folder that `data prepare` wrote to the samples of a run, and the fingerprint that recognizes them again.

Reading, rendering and tokenizing happens once; a resumed run takes the samples from its folder. Costs about 0.1 ms a
record the first time, one hash of the files at every start.
"""

from __future__ import annotations

import hashlib
import inspect
import json
from collections import Counter
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

import lexitrain.samples.rendering as rendering_module
from lexitrain.errors import InputError
from lexitrain.records.prepared import (
    REPORT,
    TRAIN,
    VALIDATION,
    file_name,
    iterate_split,
    split_file,
)
from lexitrain.runs.folder import DataSummary, Run
from lexitrain.samples.rendering import Renderer, Sample
from lexitrain.samples.store import Samples, collect, read_saved
from lexitrain.tasks.registry import unknown_task

if TYPE_CHECKING:
    from lexitrain.recipe.schema import Recipe
    from lexitrain.records.record import Record
    from lexitrain.tasks.task import Task

_BATCH = 2000


@dataclass(frozen=True)
class Corpus:
    """The samples of a run and what is known about them.

    Attributes:
        new: split -> key, of the samples that were rendered now and are not in the run's folder yet.
    """

    train: Samples
    validation: Samples
    summary: DataSummary
    new: dict[str, str]

    def with_train(self, train: Samples) -> Corpus:
        """The same corpus with other training samples for the records."""
        return replace(self, train=train)

    def save_new(self, run: Run) -> None:
        """Keep what was rendered now for the next start of this run."""
        for split, key in self.new.items():
            samples = self.train if split == TRAIN else self.validation
            samples.save(_saved(run, split), key)


def load_corpus(
    run: Run, folder: Path, recipe: Recipe, registry: Mapping[str, Task], tokenizer: Any
) -> Corpus:
    """The run's samples, from its folder where they are those of these data, else rendered anew. Writes nothing.

    Raises:
        InputError: a file is missing or unreadable, a task is unknown, or no sample is left.
    """
    require_known_tasks(recipe, registry)
    files = file_facts(folder)
    renderer = Renderer(tokenizer, registry, recipe.data.max_length)
    made_from = _key_parts(recipe, registry, tokenizer)
    splits: dict[str, Samples] = {}
    new: dict[str, str] = {}
    for split in (TRAIN, VALIDATION):
        path = split_file(folder, split)
        if path.name not in files:
            splits[split] = collect(())
            continue
        key = _hash(made_from, files[path.name]["sha256"])
        samples = read_saved(_saved(run, split), key)
        if samples is None:
            samples = collect(_rendered(path, renderer, recipe.data.tasks))
            new[split] = key
        splits[split] = samples
    if not len(splits[TRAIN]):
        raise InputError(
            "There is no sample to train on.",
            where=split_file(folder, TRAIN),
            fix="Check data.tasks and data.max_length.",
        )
    return Corpus(splits[TRAIN], splits[VALIDATION], _summary(folder, files, splits), new)


def file_facts(folder: Path) -> dict[str, dict[str, Any]]:
    """Size and SHA-256 of the files that a run reads.

    Raises:
        InputError: the folder or its train.jsonl is missing, or a file is not the one that report.json beside it
            describes.
    """
    if not split_file(folder, TRAIN).is_file():
        raise InputError(
            f"There is no {file_name(TRAIN)} here."
            if folder.is_dir()
            else "There is no such data folder.",
            where=folder,
            fix="Make it with: lexitrain data prepare FILES --out DIR",
        )
    facts: dict[str, dict[str, Any]] = {}
    for split in (TRAIN, VALIDATION):
        path = split_file(folder, split)
        if path.is_file():
            with path.open("rb") as file:
                digest = hashlib.file_digest(file, "sha256").hexdigest()
            facts[path.name] = {"bytes": path.stat().st_size, "sha256": digest}
    _check_report(folder / REPORT, facts)
    return facts


def _check_report(file: Path, facts: Mapping[str, Mapping[str, Any]]) -> None:
    """Raises InputError where the files are not those that a report of `data prepare` beside them describes."""
    try:
        told = json.loads(file.read_bytes())["splits"]
        described = {split: told[split]["sha256"] for split in (TRAIN, VALIDATION)}
    except (OSError, ValueError, KeyError, TypeError):
        return  # no report, or not one of ours
    for split, digest in described.items():
        found = facts.get(file_name(split))
        if found is None or found["sha256"] != digest:
            raise InputError(
                f"{file_name(split)} is {'gone' if found is None else f'not the file that {REPORT} describes'}: it was "
                "edited after it was prepared, or the folder was replaced or copied in part only.",
                where=file.parent,
                fix=f"Run `lexitrain data prepare` again; to train on edited files on purpose, delete {REPORT}.",
            )


def data_differences(before: DataSummary, now: DataSummary) -> list[str]:
    """What differs in a way that changes training, as sentences. Where the folder lies does not matter."""
    differences = file_differences(before.files, now.files)
    if not differences and before.rendered_sha256 != now.rendered_sha256:
        differences.append(
            "the same records give other tokens (tokenizer, chat template, or a task's code changed)"
        )
    return differences


def file_differences(
    before: Mapping[str, Mapping[str, Any]], now: Mapping[str, Mapping[str, Any]]
) -> list[str]:
    """Files that are not those of before, with what differs."""
    return [
        f"{name} {_difference(before.get(name), now.get(name))}"
        for name in sorted(before.keys() | now.keys())
        if before.get(name) != now.get(name)
    ]


def _saved(run: Run, split: str) -> Path:
    return run.cache / f"{split}.safetensors"


def _difference(before: Mapping[str, Any] | None, now: Mapping[str, Any] | None) -> str:
    if before is None or now is None:
        return "was not there before" if before is None else "is gone"
    return f"changed ({before.get('bytes')} bytes before, {now.get('bytes')} now, other SHA-256)"


def require_known_tasks(recipe: Recipe, registry: Mapping[str, Task]) -> None:
    """Nothing, when every task that the recipe names is known. Raises TaskError naming the nearest one."""
    for field, names in (
        ("data.tasks", recipe.data.tasks),
        ("data.task_weights", recipe.data.task_weights),
    ):
        for name in names:
            if name not in registry:
                raise unknown_task(name, registry, where=field)


def _rendered(path: Path, renderer: Renderer, tasks: tuple[str, ...]) -> Iterator[Sample | None]:
    """The samples of a split in its order; None for a record that cannot be rendered within max_length.

    Raises:
        InputError: a record's task is unknown, or none of the records can be rendered (with the first one's reason).
    """
    reasons: list[str] = []
    rendered = False
    for rows, records in _batches(path, renderer, tasks):
        seen = len(reasons)
        for sample in renderer.render_all(records, on_unfit=lambda _, why: reasons.append(why)):
            rendered = True
            yield replace(sample, index=rows[sample.index])
        yield from [None] * (len(reasons) - seen)
    if reasons and not rendered:
        raise InputError(
            f"None of the records can be used. The first one: {reasons[0]}", where=path
        )


def _batches(
    path: Path, renderer: Renderer, tasks: tuple[str, ...]
) -> Iterator[tuple[list[int], list[Record]]]:
    """The records to train on with their rows, some thousand at a time, so that memory holds only those."""
    rows: list[int] = []
    records: list[Record] = []
    for row, record in enumerate(iterate_split(path)):
        if tasks and record.task not in tasks:
            continue
        renderer.task(record)
        rows.append(row)
        records.append(record)
        if len(rows) == _BATCH:
            yield rows, records
            rows, records = [], []
    yield rows, records


def _key_parts(recipe: Recipe, registry: Mapping[str, Task], tokenizer: Any) -> str:
    """Hash of all but the data that samples are made from."""
    sources = sorted({_source(type(task)) for task in registry.values()})
    return _hash(
        tokenizer.backend_tokenizer.to_str(),
        tokenizer.chat_template,
        json.dumps([recipe.data.max_length, recipe.data.tasks]),
        inspect.getsource(rendering_module),
        *sources,
    )


def _source(task: type[Task]) -> str:
    """Source of the modules that a task's prompts and answers come from, its base classes' included."""
    modules = {inspect.getsourcefile(each) for each in task.__mro__ if each is not object}
    return "".join(Path(file).read_text(encoding="utf-8") for file in sorted(filter(None, modules)))


def _hash(*parts: str) -> str:
    return hashlib.sha256("\0".join(parts).encode()).hexdigest()


def _summary(
    folder: Path, files: Mapping[str, Mapping[str, Any]], splits: Mapping[str, Samples]
) -> DataSummary:
    return DataSummary(
        folder=str(folder.resolve()),
        files={name: dict(facts) for name, facts in files.items()},
        samples={name: dict(sorted(Counter(each.tasks).items())) for name, each in splits.items()},
        skipped={name: each.skipped for name, each in splits.items()},
        truncated={name: int(each.cut.sum()) for name, each in splits.items()},
        token_lengths={name: _lengths(each) for name, each in splits.items() if len(each)},
        rendered_sha256=_hash(*(each.sha256 for each in splits.values())),
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
