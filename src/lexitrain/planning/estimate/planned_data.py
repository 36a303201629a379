"""The samples of a plan: the user's own records, or the lengths of the benchmark mixture.

Own records are rendered as training renders them, with the base's own tokenizer. Where that cannot be had (a Hub id
without a network), the nano base's tokenizer stands in and its tokens are grouped to as many as Qwen's vocabulary
needs; the plan says so. Rendered samples are kept in the user's cache folder, so that a second plan needs neither the
tokenizer nor torch. Some 0.15 ms a record the first time.
"""

from __future__ import annotations

import hashlib
import json
import os
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from random import Random
from typing import TYPE_CHECKING, Any

import numpy as np

from lexitrain.errors import DataError, InputError
from lexitrain.models.location import NANO
from lexitrain.planning.estimate.mixture import MIXTURE_SAMPLES, estimated_ids, profile_samples
from lexitrain.planning.estimate.planned_steps import PlannedData
from lexitrain.planning.estimate.step_costs import cache_folder
from lexitrain.records.reading import read_records
from lexitrain.records.record import BadRecord, iterate_split
from lexitrain.samples.rendering import Renderer, Sample
from lexitrain.tasks.registry import aliases, registry

if TYPE_CHECKING:
    from lexitrain.recipe.schema import Recipe
    from lexitrain.records.record import Record

Load = Callable[["Recipe"], Any]

MOST = 40_000
"""Records that are rendered of one file; of a longer one so many are drawn at random and stand for the others."""


def mixture_data(samples: int | None = None) -> Callable[[Recipe], PlannedData]:
    """The benchmark mixture's lengths, for as many training samples; an eighth as many are for validation."""
    count = samples or MIXTURE_SAMPLES
    known: dict[Any, PlannedData] = {}

    def data_for(recipe: Recipe) -> PlannedData:
        key = (recipe.data.max_length, recipe.data.tasks)
        if key not in known:
            train, validation = (
                profile_samples(n, max_length=recipe.data.max_length, tasks=recipe.data.tasks)
                for n in (count, max(1, count // 8))
            )
            known[key] = PlannedData(
                train=train,
                validation=validation,
                source=f"the lengths of the benchmark mixture, {count:,} samples (no --data was given)",
                exact=False,
                key=f"mixture {count} {key}",
                skipped=count - len(train),
            )
        return known[key]

    return data_for


def own_data(path: Path, load_tokenizer: Load) -> Callable[[Recipe], PlannedData]:
    """The user's records: a folder that `data prepare` wrote, or a file in any form, which is then all for training.

    Args:
        path: folder or file.
        load_tokenizer: gives a recipe's tokenizer; raises InputError where it cannot be had.
    """
    known: dict[str, PlannedData] = {}
    files = _files(path)
    digest = _digest(files.values())

    def data_for(recipe: Recipe) -> PlannedData:
        key = _key(digest, recipe)
        if key not in known:
            kept = _Kept.read(key)
            if kept is None:
                kept = _render(files, recipe, load_tokenizer)
                kept.save(key)
            known[key] = kept.planned(path, key)
        return known[key]

    return data_for


@dataclass(frozen=True)
class _Kept:
    """Rendered samples, and how many records there were."""

    train: list[Sample]
    validation: list[Sample]
    train_records: int
    validation_records: int
    estimated: str

    def planned(self, path: Path, key: str) -> PlannedData:
        source = f"{path}, {self.train_records:,} training records"
        if self.estimated:
            source += f"; lengths are estimated, because {self.estimated}"
        train = _repeated(self.train, self.train_records)
        return PlannedData(
            train=train,
            validation=_repeated(self.validation, self.validation_records),
            source=source,
            exact=not self.estimated,
            key=key,
            skipped=self.train_records - len(train),
        )

    def save(self, key: str) -> None:
        """Keep the arrays; a cache that cannot be written is no error."""
        path = _cache_file(key)
        about = json.dumps(
            [len(self.train), self.train_records, self.validation_records, self.estimated]
        )
        partial = path.with_suffix(f".{os.getpid()}")
        try:
            path.parent.mkdir(parents=True, exist_ok=True)
            with partial.open("wb") as file:
                np.savez(file, about=np.array(about), **_arrays([*self.train, *self.validation]))
            partial.replace(path)
        except OSError:
            partial.unlink(missing_ok=True)

    @classmethod
    def read(cls, key: str) -> _Kept | None:
        """What was kept; None where nothing is, or it cannot be read."""
        try:
            with np.load(_cache_file(key), allow_pickle=False) as arrays:
                train, records, validated, estimated = json.loads(str(arrays["about"]))
                samples = _from_arrays(arrays)
        except (OSError, ValueError, KeyError):
            return None
        return cls(samples[:train], samples[train:], records, validated, estimated)


def _repeated(samples: list[Sample], records: int) -> Sequence[Sample]:
    """As many samples as the records give, those that were drawn standing for the others."""
    if records <= MOST or not samples:
        return samples
    return [samples[index % len(samples)] for index in range(records)]


def _files(path: Path) -> dict[str, Path]:
    """Split -> file."""
    if path.is_dir():
        found = {split: path / f"{split}.jsonl" for split in ("train", "validation")}
        if not found["train"].is_file():
            raise DataError(
                "There is no train.jsonl here.",
                where=path,
                fix="Make it with: lexitrain data prepare FILES --out DIR",
            )
        return {split: file for split, file in found.items() if file.is_file()}
    if not path.is_file():
        raise DataError("There is no such file or folder.", where=path, fix="Check --data.")
    return {"train": path}


def _digest(files: Iterable[Path]) -> str:
    digest = hashlib.sha256()
    for path in files:
        with path.open("rb") as file:
            digest.update(hashlib.file_digest(file, "sha256").digest())
    return digest.hexdigest()


def _key(digest: str, recipe: Recipe) -> str:
    """Hash of what the samples are made from, apart from the tokenizer's own files, which a base's name stands for."""
    data = recipe.data
    parts = [digest, recipe.model.base, recipe.model.revision, data.max_length, data.tasks]
    custom = [_custom_source(each) for each in data.custom_tasks]
    rooms = Path(__file__).parents[2]
    code = hashlib.sha256()
    for file in (rooms / "samples" / "rendering.py", *sorted((rooms / "tasks").rglob("*.py"))):
        code.update(file.read_bytes())
    text = json.dumps([parts, custom, code.hexdigest()], default=str)
    return hashlib.sha256(text.encode()).hexdigest()[:32]


def _custom_source(task: str) -> str:
    path = Path(task)
    return path.read_text(encoding="utf-8") if path.is_file() else task


def _render(files: Mapping[str, Path], recipe: Recipe, load_tokenizer: Load) -> _Kept:
    tasks = registry(recipe.data.custom_tasks)
    estimated = ""
    try:
        tokenizer = load_tokenizer(recipe)
    except InputError as error:
        estimated = f"the tokenizer of {recipe.model.base} cannot be had here"
        tokenizer = load_tokenizer(
            recipe.model_copy(update={"model": recipe.model.model_copy(update={"base": NANO})})
        )
        if recipe.model.base == NANO:
            raise error
    limit = recipe.data.max_length
    renderer = Renderer(tokenizer, tasks, 1 << 20 if estimated else limit)
    splits: dict[str, tuple[list[Sample], int]] = {"validation": ([], 0)}
    for split, path in files.items():
        records, count = _some(_read(path, split, files, aliases(tasks)), recipe)
        samples = renderer.render_all(records, on_unfit=lambda _row, _reason: None)
        if estimated:
            samples = [short for each in samples if (short := _estimated(each, limit))]
        splits[split] = samples, count
    if not splits["train"][0]:
        raise DataError(
            "No record can be trained on.",
            where=files["train"],
            fix="Check data.tasks and data.max_length.",
        )
    (train, records), (validation, validated) = splits["train"], splits["validation"]
    return _Kept(train, validation, records, validated, estimated)


def _read(
    path: Path, split: str, files: Mapping[str, Path], names: Mapping[str, str]
) -> Iterable[Record]:
    if len(files) > 1 or path.name == f"{split}.jsonl":
        yield from iterate_split(path)
        return
    for record in read_records(str(path), aliases=names):
        if isinstance(record, BadRecord):
            raise DataError(
                record.reason,
                where=f"{record.file}:{record.line}",
                fix="Clean the records first: lexitrain data prepare",
            )
        yield record


def _some(records: Iterable[Record], recipe: Recipe) -> tuple[list[Record], int]:
    """Up to `MOST` records of the recipe's tasks, each as likely as any other, and how many there are."""
    draw = Random(recipe.seed)
    kept: list[Record] = []
    count = 0
    for record in records:
        if recipe.data.tasks and record.task not in recipe.data.tasks:
            continue
        count += 1
        if len(kept) < MOST:
            kept.append(record)
        elif (place := draw.randrange(count)) < MOST:
            kept[place] = record
    return kept, count


def _estimated(sample: Sample, max_length: int) -> Sample | None:
    """The sample with as many tokens as Qwen's vocabulary would need, shortened to the limit; None if it cannot be."""
    prompt, completion = (estimated_ids(ids) for ids in (sample.prompt_ids, sample.completion_ids))
    prompt = prompt[: max_length - len(completion)] if len(completion) < max_length else prompt[:0]
    if not len(prompt):
        return None
    return replace(
        sample,
        prompt_ids=prompt,
        completion_ids=completion,
        supervised=np.ones(len(completion), dtype=np.bool_),
    )


def _cache_file(key: str) -> Path:
    return cache_folder().parent / "samples" / f"{key}.npz"


def _arrays(samples: Sequence[Sample]) -> dict[str, Any]:
    names = sorted({sample.task for sample in samples})
    parts = [part for sample in samples for part in (sample.prompt_ids, sample.completion_ids)]
    return {
        "tokens": np.concatenate([*parts, np.empty(0, np.int32)]).astype(np.int32),
        "supervised": np.concatenate([*(s.supervised for s in samples), np.empty(0, np.bool_)]),
        "prompts": np.array([len(sample.prompt_ids) for sample in samples], dtype=np.int64),
        "completions": np.array([len(sample.completion_ids) for sample in samples], dtype=np.int64),
        "task": np.array([names.index(sample.task) for sample in samples], dtype=np.int64),
        "names": np.array(json.dumps(names)),
    }


def _from_arrays(arrays: Any) -> list[Sample]:
    names = json.loads(str(arrays["names"]))
    tokens, supervised = arrays["tokens"], arrays["supervised"]
    samples: list[Sample] = []
    at = scored = 0
    rows = zip(arrays["prompts"], arrays["completions"], arrays["task"], strict=True)
    for index, (prompt, completion, task) in enumerate(rows):
        middle, end = at + int(prompt), at + int(prompt) + int(completion)
        samples.append(
            Sample(
                prompt_ids=tokens[at:middle],
                completion_ids=tokens[middle:end],
                supervised=supervised[scored : scored + int(completion)],
                task=names[task],
                index=index,
            )
        )
        at, scored = end, scored + int(completion)
    return samples
