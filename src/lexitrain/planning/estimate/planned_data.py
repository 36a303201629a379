"""The samples of a plan: the user's own records, or the lengths of the benchmark mixture.

Own records are rendered as training renders them, with the base's own tokenizer. Where that cannot be had (a Hub id
without a network), the nano base's tokenizer stands in and its tokens are grouped to as many as Qwen's vocabulary
needs; the plan says so. Rendered samples are kept in the user's cache folder, so that a second plan needs neither the
tokenizer nor torch. Some 0.15 ms a record the first time.
"""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Callable, Iterable, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from lexitrain.errors import DataError, InputError, number_of
from lexitrain.models import base_identity, characters_learnt_as_bytes
from lexitrain.planning.estimate.mixture import MIXTURE_SAMPLES, estimated_ids, profile_samples
from lexitrain.planning.estimate.planned_steps import PlannedData
from lexitrain.recipe import NANO
from lexitrain.records import (
    TRAIN,
    VALIDATION,
    BadRecord,
    draw_records,
    file_name,
    iterate_split,
    read_records,
    split_file,
)
from lexitrain.samples import (
    Renderer,
    base_fingerprint,
    collect,
    hash_of,
    read_saved,
    samples_key,
    unlearnt_bytes,
)
from lexitrain.storage import cache_folder, file_sha256
from lexitrain.tasks import aliases, registry

if TYPE_CHECKING:
    from lexitrain.recipe import Recipe
    from lexitrain.records import Record
    from lexitrain.samples import Sample
    from lexitrain.tasks import Task

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
                source=f"the lengths of the benchmark mixture, {number_of(count, 'sample')} (no --data was given)",
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
    known: dict[Any, PlannedData] = {}
    files = _files(path)
    digest = hash_of(*(file_sha256(file) for file in files.values()))

    def data_for(recipe: Recipe) -> PlannedData:
        model, data = recipe.model, recipe.data
        asked = (
            model.base,
            model.revision,
            data.max_length,
            data.tasks,
            data.custom_tasks,
            data.system,
        )
        if asked not in known:
            tasks = registry(data.custom_tasks, data.system)
            # The base's name stands for its tokenizer, which is loaded only where there is something to render.
            key = samples_key(digest, base_fingerprint(model), data, tasks)
            kept = _Kept.read(key)
            if kept is None or (kept.estimated and base_identity(model.base, model.revision)):
                # An estimate is kept, so that not every plan waits for the Hub, until the base is here.
                kept = _render(files, recipe, tasks, load_tokenizer)
                kept.save(key)
            known[asked] = kept.planned(path, key)
        return known[asked]

    return data_for


@dataclass(frozen=True)
class _Kept:
    """Rendered samples, and how many records there were."""

    train: list[Sample]
    validation: list[Sample]
    train_records: int
    validation_records: int
    unfit: int
    estimated: str
    warnings: tuple[str, ...]

    def planned(self, path: Path, key: str) -> PlannedData:
        source = f"{path}, {number_of(self.train_records, 'training record')}"
        if self.estimated:
            source += f"; lengths are estimated, because {self.estimated}"
        return PlannedData(
            train=_repeated(self.train, self.train_records),
            validation=_repeated(self.validation, self.validation_records),
            source=source,
            exact=not self.estimated,
            key=key,
            skipped=self.unfit,
            warnings=self.warnings,
        )

    def save(self, key: str) -> None:
        """Keep them; a cache that cannot be written is no error."""
        about = {
            "train": str(len(self.train)),
            "train_records": str(self.train_records),
            "validation_records": str(self.validation_records),
            "unfit": str(self.unfit),
            "estimated": self.estimated,
            "warnings": json.dumps(self.warnings),
        }
        with suppress(OSError):
            collect([*self.train, *self.validation]).save(_cache_file(key), key, about)

    @classmethod
    def read(cls, key: str) -> _Kept | None:
        """What was kept; None where nothing is, or it cannot be used."""
        saved = read_saved(_cache_file(key), key)
        if saved is None:
            return None
        try:
            train, records, validated, unfit = (
                int(saved.about[name])
                for name in ("train", "train_records", "validation_records", "unfit")
            )
            estimated = saved.about["estimated"]
            warnings = tuple(str(each) for each in json.loads(saved.about["warnings"]))
        except (KeyError, ValueError, TypeError):  # kept by a version that needed other facts
            return None
        samples = list(saved.samples)
        return cls(samples[:train], samples[train:], records, validated, unfit, estimated, warnings)


def _repeated(samples: list[Sample], records: int) -> Sequence[Sample]:
    """As many samples as the records give, those that were drawn standing for the others."""
    if records <= MOST or not samples:
        return samples
    # A conversation may give several samples, and some records give none.
    return [samples[index % len(samples)] for index in range(records * len(samples) // MOST)]


def _files(path: Path) -> dict[str, Path]:
    """Split -> file."""
    if path.is_dir():
        found = {split: split_file(path, split) for split in (TRAIN, VALIDATION)}
        if not found[TRAIN].is_file():
            raise DataError(
                f"There is no {file_name(TRAIN)} here.",
                where=path,
                fix="Make it with: lexitrain data prepare FILES --out DIR",
            )
        return {split: file for split, file in found.items() if file.is_file()}
    if not path.is_file():
        raise DataError("There is no such file or folder.", where=path, fix="Check --data.")
    return {TRAIN: path}


def _render(
    files: Mapping[str, Path], recipe: Recipe, tasks: Mapping[str, Task], load_tokenizer: Load
) -> _Kept:
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
    splits: dict[str, tuple[list[Sample], int]] = {VALIDATION: ([], 0)}
    unfit: dict[str, int] = {}
    reasons: Counter[str] = Counter()
    for split, path in files.items():
        chosen = (
            record
            for record in _read(path, split, files, aliases(tasks))
            if not recipe.data.tasks or record.task in recipe.data.tasks
        )
        records, count = draw_records(chosen, MOST, recipe.seed)
        left_out: list[str] = []
        samples = renderer.render_all(
            records, on_unfit=lambda _row, why, left_out=left_out: left_out.append(why)
        )
        unfit[split] = round(len(left_out) * count / max(1, len(records)))
        reasons.update(left_out)
        if estimated:
            fitting = [short for each in samples if (short := _estimated(each, limit))]
            unfit[split] += len(samples) - len(fitting)
            samples = fitting
        splits[split] = samples, count
    if not splits[TRAIN][0]:
        raise DataError(
            "No record can be trained on.",
            where=files[TRAIN],
            fix="Check data.tasks and data.max_length.",
        )
    (train, records), (validation, validated) = splits[TRAIN], splits[VALIDATION]
    # Another tokenizer's bytes say nothing about the base.
    shown = characters_learnt_as_bytes(recipe.model.base)
    found = [] if estimated else unlearnt_bytes(tokenizer, train, shown)
    notes = () if estimated else renderer.template.notes
    warnings = (*notes, *(" ".join(each) for each in found))
    warnings += tuple(f"Left out, most often: {why}" for why, _ in reasons.most_common(1))
    return _Kept(train, validation, records, validated, unfit[TRAIN], estimated, warnings)


def _read(
    path: Path, split: str, files: Mapping[str, Path], names: Mapping[str, str]
) -> Iterable[Record]:
    if len(files) > 1 or path.name == file_name(split):
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
    return cache_folder("samples") / f"{key}.safetensors"
