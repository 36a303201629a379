"""Whether the data teach what they should: answers that are answers, no text on two sides, samples that fit, an end
that is learnt. Reads every record once: some 20 microseconds each."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from hashlib import blake2b
from pathlib import Path
from typing import TYPE_CHECKING, Any

from lexitrain.diagnosis.check import Check, passed, warned
from lexitrain.errors import number_of
from lexitrain.records import SPLITS, TRAIN, iterate_split, split_file
from lexitrain.samples import Samples, rows_without_stop

if TYPE_CHECKING:
    from lexitrain.records import Record
    from lexitrain.samples import RunSamples
    from lexitrain.tasks import Task

_UNPARSED = 0.05
_LEFT_OUT = 0.01
_SHORTENED = 0.1
"""Shares of records from which on something is worth a warning; a rule of thumb."""


@dataclass
class ReadRecords:
    """What reading all splits has found.

    Attributes:
        count: split -> records.
        answers: task -> records of train, and how many of them end with an answer of the task's.
        shared: held-out split -> records whose prompt is in train too, with the place of the first.
    """

    count: Counter[str] = field(default_factory=Counter[str])
    answers: dict[str, list[int]] = field(default_factory=dict[str, list[int]])
    shared: dict[str, tuple[int, str]] = field(default_factory=dict[str, tuple[int, str]])


def read_records(folder: Path, tasks: Mapping[str, Task], chosen: tuple[str, ...]) -> ReadRecords:
    """Read all splits of a prepared folder.

    Args:
        folder: that `data prepare` wrote.
        tasks: by short name.
        chosen: the tasks to train; empty: all.

    Raises:
        DataError: a line is no record.
    """
    found = ReadRecords()
    trained: set[bytes] = set()
    for split in SPLITS:
        path = split_file(folder, split)
        if not path.is_file():
            continue
        for row, record in enumerate(iterate_split(path)):
            task = tasks.get(record.task)
            if task is None or (chosen and record.task not in chosen):
                continue
            found.count[split] += 1
            key = _asked(task, record)
            if split == TRAIN:
                trained.add(key)
                pair = found.answers.setdefault(record.task, [0, 0])
                pair[0] += 1
                pair[1] += task.reference(record) is not None
            elif key in trained:
                count, place = found.shared.get(split, (0, f"{path.name}:{row + 1}"))
                found.shared[split] = count + 1, place
    return found


def _asked(task: Task, record: Record) -> bytes:
    """Equal for records of a task whose prompts are equal: those that `data prepare` takes for duplicates."""
    text = f"{task.short}\0{task.asked(record).prompt}"
    return blake2b(text.encode(errors="surrogatepass"), digest_size=12).digest()


def record_checks(read: ReadRecords) -> Iterator[Check]:
    """What the records alone tell."""
    yield answers_check(read)
    yield leakage_check(read)


def answers_check(read: ReadRecords) -> Check:
    """Whether answers are objects of their task."""
    lacking = {
        task: (of - good, of)
        for task, (of, good) in read.answers.items()
        if good < (1 - _UNPARSED) * of
    }
    if not lacking:
        total = sum(of for of, _ in read.answers.values())
        good = sum(each for _, each in read.answers.values())
        return passed(
            "answers",
            f"{good:,} of {number_of(total, 'training record')} {'ends' if total == 1 else 'end'} with an answer "
            "of their task.",
        )
    told = "; ".join(f"{task}: {count:,} of {of:,}" for task, (count, of) in lacking.items())
    return warned(
        "answers",
        f"Training records whose last answer is not their task's JSON object: {told}.",
        "The model learns to answer so, and each such answer counts as invalid in the task's scores.",
        "Write the answers as objects, or give these records a task of their own (docs/data.md).",
    )


def leakage_check(read: ReadRecords) -> Check:
    """Whether held-out records ask what is trained on."""
    if not read.shared:
        held = sum(count for split, count in read.count.items() if split != TRAIN)
        return passed(
            "leakage",
            f"None of {number_of(held, 'held-out record')} asks what a training record asks.",
        )
    told = ", ".join(
        f"{count:,} of {read.count[split]:,} in {split} (first: {place})"
        for split, (count, place) in read.shared.items()
    )
    return warned(
        "leakage",
        f"Held-out records whose prompt is in train too: {told}.",
        "What was trained on is asked again: validation losses and scores look better than they are.",
        "Prepare the data anew with `lexitrain data prepare`, which keeps equal prompts on one side.",
    )


def sample_checks(samples: RunSamples, tokenizer: Any, stop_ids: frozenset[int]) -> Iterator[Check]:
    """What the tokenized samples tell.

    Args:
        samples: of the run.
        tokenizer: as it is trained and saved with.
        stop_ids: tokens at which an answer ends.
    """
    ends = ", ".join(repr(tokenizer.decode([each])) for each in sorted(stop_ids))
    yield passed(
        "padding token", f"It pads with {tokenizer.pad_token!r}, and answers end with {ends}."
    )
    yield stop_check(samples.train, stop_ids)
    yield length_check(samples)


def stop_check(train: Samples, stop_ids: frozenset[int]) -> Check:
    """Whether every sample learns to stop; `load_samples` refuses those that do not."""
    rows = rows_without_stop(train, stop_ids)
    return passed(
        "stop token", f"{len(train) - len(rows):,} of {len(train):,} samples learn the end of turn."
    )


def length_check(samples: RunSamples) -> Check:
    """How many records are left out or shortened."""
    summary, made = samples.summary, len(samples.train)
    left = summary.skipped.get(TRAIN, 0)
    cut = summary.truncated.get(TRAIN, 0)
    found = (
        f"{left:,} of {number_of(left + made, 'training record')} {'is' if left + made == 1 else 'are'} left out, "
        f"{cut:,} shortened."
    )
    if left <= _LEFT_OUT * (left + made) and cut <= _SHORTENED * made:
        return passed("length", found)
    return warned(
        "length",
        found,
        "What is left out is not learnt; a shortened text may lack what its answer is about.",
        "See `lexitrain data lengths`, and raise data.max_length.",
    )
