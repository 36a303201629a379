"""How long the samples of some records are, and how many tokens a step of them has in each layout.

Every record is rendered whole with the recipe's own tokenizer; what is longer than the recipe's max_length is rendered
once more, shortened; then steps are drawn and laid out. Some 0.15 ms a record, and some 2 ms a step.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from lexitrain.batching import step_tokens
from lexitrain.errors import DataError, number_of
from lexitrain.models import characters_learnt_as_bytes, load_tokenizer
from lexitrain.records import TRAIN, BadRecord, draw_records, read_records, split_file
from lexitrain.samples import LengthReport, Renderer, length_report, unlearnt_bytes
from lexitrain.storage import user_path
from lexitrain.tasks import aliases, registry

if TYPE_CHECKING:
    from lexitrain.recipe import Recipe
    from lexitrain.records import Record
    from lexitrain.samples import Sample
    from lexitrain.tasks import Task

Progress = Callable[[str, int, int], None]
"""Told what is being done, how much of it is done, and of how much."""

_ANY_LENGTH = 1 << 20
"""Tokens: nothing is shortened while lengths are measured."""
_STEPS = 200
"""Steps that are laid out: their mean is then known to about a percent."""
_USUAL_MICRO_BATCH = 4
"""Samples that are padded to a common length where the recipe leaves that to the memory."""
_PREPARE_FIRST = "Clean the records first: lexitrain data prepare"


def measure_lengths(
    file: str, recipe: Recipe, *, cover: float, limit: int, progress: Progress
) -> tuple[LengthReport, NDArray[np.int64]]:
    """Measure the samples that a recipe would make of some records.

    Args:
        file: a folder that `data prepare` wrote, or records in any form.
        recipe: its base's tokenizer, its max_length and its step are used.
        cover: share of the samples, 0 to 1, for which the report also names the max_length that leaves them whole.
        limit: most records to measure; of more, so many are drawn at random.
        progress: told of tokenizing and of laying out.

    Returns:
        The report, and [samples] tokens of every sample before it is shortened.

    Raises:
        DataError: there are no records, or one of them cannot be used.
        InputError: no sample fits max_length, or the tokenizer cannot be had.
    """
    file = str(user_path(file)) if file.startswith("~") else file
    tasks = registry(recipe.data.custom_tasks, recipe.data.system)
    records, _ = draw_records(_usable(file, tasks), limit, recipe.seed)
    if not records:
        raise DataError("There are no records to measure.", where=file)
    progress("tokenizing", 0, len(records))
    tokenizer = load_tokenizer(recipe.model.base, recipe.model.revision)
    refused: list[str] = []
    renderer = Renderer(tokenizer, tasks, _ANY_LENGTH)
    whole = renderer.render_all(records, on_unfit=lambda _row, reason: refused.append(reason))
    if not whole:
        raise DataError(f"No record can be rendered. The first one: {refused[0]}", where=file)
    shortener = Renderer(tokenizer, tasks, recipe.data.max_length)
    fitting, unfit = _shortened(whole, records, shortener, recipe.data.max_length)
    order = np.random.default_rng(recipe.seed).permutation(len(fitting))
    size = min(recipe.step.effective_batch, len(order))
    steps = [order[start : start + size] for start in range(0, len(order), max(1, size))]
    steps = [step for step in steps if len(step) == size][:_STEPS]
    packed: dict[str, list[int]] = {"packed": [], "tree": []}
    for number, step in enumerate(steps):
        samples = [fitting[int(index)] for index in step]
        packed["packed"].append(step_tokens(samples, "packed", recipe.data.max_length))
        packed["tree"].append(step_tokens(samples, "tree", recipe.data.max_length))
        progress("laying out steps", number, len(steps))
    micro_batch = recipe.step.micro_batch
    prompts = np.array([len(sample.prompt_ids) for sample in whole])
    completions = np.array([len(sample.completion_ids) for sample in whole])
    unlearnt = unlearnt_bytes(tokenizer, whole, characters_learnt_as_bytes(recipe.model.base))
    report = length_report(
        prompts,
        completions,
        [sample.task for sample in whole],
        steps,
        max_length=recipe.data.max_length,
        effective_batch=size,
        micro_batch=_USUAL_MICRO_BATCH if micro_batch == "auto" else micro_batch,
        packed=packed,
        unfit=unfit,
        shares=(cover,),
        warnings=[
            *renderer.template.notes,
            *(" ".join(each) for each in unlearnt),
            *_told(refused),
        ],
    )
    return report, prompts + completions


def _told(refused: Sequence[str]) -> list[str]:
    if not refused:
        return []
    return [
        f"{number_of(len(refused), 'record is', 'records are')} refused and left out. The first one: {refused[0]}"
    ]


def _shortened(
    whole: Sequence[Sample], records: Sequence[Record], shortener: Renderer, max_length: int
) -> tuple[list[Sample], int]:
    """The samples within `max_length`, and how many do not fit it even shortened and are left out."""
    of_record: dict[int, list[Sample]] = {}
    for sample in whole:
        of_record.setdefault(sample.index, []).append(sample)
    fitting: list[Sample] = []
    unfit = 0
    for index, samples in of_record.items():
        if max(map(len, samples)) <= max_length:
            fitting += samples
            continue
        found = shortener.render_all(
            [records[index]], first_index=index, on_unfit=lambda _row, _reason: None
        )
        fitting += found
        unfit += 0 if found else len(samples)
    return fitting, unfit


def _usable(file: str, tasks: Mapping[str, Task]) -> Iterator[Record]:
    """The records to measure; raises DataError at the first one that cannot be used."""
    if file.startswith("~"):
        file = str(user_path(file))
    train = split_file(Path(file), TRAIN)
    found = read_records(train if train.is_file() else file, aliases=aliases(tasks))
    for number, record in enumerate(found, start=1):
        if isinstance(record, BadRecord):
            raise DataError(record.reason, where=f"{record.file}:{record.line}", fix=_PREPARE_FIRST)
        if reason := tasks[record.task].check(record):
            raise DataError(
                f"Record {number} cannot be used: {reason}.", where=file, fix=_PREPARE_FIRST
            )
        yield record
