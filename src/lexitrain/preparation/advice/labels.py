"""Advice on labels: classes that crowd out the others, classes that are hardly there, labels that contradict.

A field of an answer holds classes where its schema lists them, or where it is a text that must be there and takes at
most 200 short values, each ten times on average in train. Texts are equal here that have the same words: case,
punctuation and spaces aside; in a conversation all that the model sees must be equal. Near duplicates count as equal.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

import numpy as np
from numpy.typing import NDArray

from lexitrain.errors import number_of
from lexitrain.preparation.advice.advice import Advice, named, records, scores_about
from lexitrain.preparation.advice.seen import Seen
from lexitrain.preparation.advice.signs import class_fields, number_field
from lexitrain.preparation.dropped_records import shortened
from lexitrain.tasks import Task

CONTRADICTING = "contradicting_labels"

FEWEST = 10  # records of a class in train, or of a class on average
_WORTH_JUDGING = 20  # labelled records of train from which shares are judged
_MOST_OF_TWO, _MOST_OF_MORE = 0.8, 0.5
_SHARE_OF_RANGE = 0.2  # by which two numbers for one text contradict each other
_EXAMPLES = 3
_LONGEST_NAME = 40  # characters of a class that is named
_NAMED = 8  # rare classes


def label_advice(seen: Seen) -> Iterator[Advice]:
    """Of every task and field of classes, then of its number."""
    for number, task in seen.tasks():
        for place in range(len(class_fields(task))):
            classes = seen.classes(number, task, place)
            if classes:
                yield from _balance(seen, number, place, classes)
                yield from _contradicting_labels(seen, number, place, classes)
        yield from _contradicting_numbers(seen, number, task)


def _balance(seen: Seen, number: int, place: int, classes: list[str]) -> Iterator[Advice]:
    task, field, counts = seen.about(number, place, classes)
    total, scores = int(counts.sum()), scores_about(task, field)
    if total < _WORTH_JUDGING:
        return
    largest = int(counts.argmax())
    name = shortened(classes[largest], _LONGEST_NAME)
    most, there = int(counts[largest]), int(np.count_nonzero(counts))
    if there == 1 or most > (_MOST_OF_TWO if there == 2 else _MOST_OF_MORE) * total:
        yield Advice(
            "class_imbalance",
            task.short,
            f"`{field}` is {name} in {most:,} of {total:,} records of train ({most / total:.0%}; classes: "
            f"{there})",
            f"a model that always answers {name} is right that often, so that {named(scores)} can look "
            "good without anything learnt",
            f"bring more records of the other classes, or fewer of {name}",
            *(most, total, field, scores),
        )
    # The rarest first: of many classes only some are named.
    rare = [(name, int(count)) for name, count in zip(classes, counts, strict=True) if count < FEWEST]  # fmt: skip
    if rare and there > 1:
        rare.sort(key=lambda each: each[1])
        listed = ", ".join(
            f"{shortened(name, _LONGEST_NAME)} {count}" for name, count in rare[:_NAMED]
        )
        listed += f" and {len(rare) - _NAMED} more classes" if len(rare) > _NAMED else ""
        yield Advice(
            "rare_classes",
            task.short,
            f"`{field}`: fewer than {FEWEST} records of train for {listed}",
            f"they can hardly be learnt and are right in {named(scores)} by luck; an average over classes, such as "
            "macro_f1, weighs each like a large one",
            f"bring at least {FEWEST} records of each, or leave these classes out",
            *(sum(count for _, count in rare), total, field, scores),
        )


def _contradicting_labels(
    seen: Seen, number: int, place: int, classes: list[str]
) -> Iterator[Advice]:
    codes = seen.signs["labels"][:, place]
    mine = np.flatnonzero((seen.rows["task"] == number) & (codes > 0))
    texts = np.unique(seen.same_text[mine], return_inverse=True)[1]
    pairs = np.unique(texts * (len(classes) + 1) + codes[mine])
    differing = np.bincount(pairs // (len(classes) + 1), minlength=1) > 1
    task = seen.task(number)
    yield from _contradicting(
        *(seen, task, class_fields(task)[place], mine, texts, differing),
        lambda record: shortened(classes[int(codes[record]) - 1], _LONGEST_NAME),
        lambda members: [0, int((codes[members] != codes[members[0]]).argmax())],
    )


def _contradicting_numbers(seen: Seen, number: int, task: Task) -> Iterator[Advice]:
    field = number_field(task)
    if field is None:
        return
    values = seen.signs["number"]
    mine = np.flatnonzero((seen.rows["task"] == number) & ~np.isnan(values))
    if not len(mine):
        return
    texts = np.unique(seen.same_text[mine], return_inverse=True)[1]
    low = np.full(int(texts.max()) + 1, np.inf, np.float32)
    high = -low
    np.minimum.at(low, texts, values[mine])
    np.maximum.at(high, texts, values[mine])
    inner: dict[str, Any] = task.schema["properties"][field]
    tolerated = _SHARE_OF_RANGE * (inner.get("maximum", 0) - inner.get("minimum", 0))
    differing = high - low > max(tolerated, 0.0)
    yield from _contradicting(
        *(seen, task, field, mine, texts, differing),
        lambda record: f"{values[record]:.6g}",
        lambda members: [int(values[members].argmin()), int(values[members].argmax())],
    )


def _contradicting(
    seen: Seen,
    task: Task,
    field: str,
    mine: NDArray[np.int64],
    texts: NDArray[np.int64],
    differing: NDArray[np.bool_],
    label: Callable[[int], str],
    apart: Callable[[NDArray[np.int64]], list[int]],
) -> Iterator[Advice]:
    """Args: apart: the places of two of the records of one text that contradict each other."""
    found = np.flatnonzero(differing[texts])
    if not len(found):
        return
    examples: list[str] = []
    for text in dict.fromkeys(texts[found[:200]].tolist()):
        members = mine[found[texts[found] == text]]
        pair = members[sorted(apart(members))].tolist()
        examples.append(", ".join(f"{seen.place(each)} ({label(each)})" for each in pair))
        if len(examples) == _EXAMPLES:
            break
    scores, inputs = scores_about(task, field), int(np.count_nonzero(differing))
    yield Advice(
        CONTRADICTING,
        task.short,
        f"{number_of(inputs, 'input')} with more than one `{field}`, in {records(len(found))} before "
        "duplicates were dropped",
        f"no model can be right on both, which limits {named(scores)}",
        "decide on one answer for each input, show in the input what tells them apart, or keep the further right ones "
        "in metadata.references where the task takes several",
        *(len(found), len(mine), field, scores, tuple(examples)),
    )
