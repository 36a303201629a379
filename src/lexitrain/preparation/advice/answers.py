"""Advice on answers and languages: answers that the task cannot read, several answers to one input, texts in another
language than the task is about."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

import numpy as np
from numpy.typing import NDArray

from lexitrain.preparation.advice.advice import Advice, named, records, scores_about
from lexitrain.preparation.advice.seen import Seen
from lexitrain.preparation.advice.signs import (
    NO_ANSWER,
    OTHER_ANSWER_LANGUAGE,
    OTHER_TEXT_LANGUAGE,
    class_fields,
)
from lexitrain.preparation.dropped_records import ANOTHER_ANSWER
from lexitrain.tasks import Task

_EXAMPLES = 3
_WORTH_TELLING = 0.05  # share of a task's records in another language: the rules err in up to 3 %


def answer_advice(seen: Seen, contradictions: Sequence[Advice]) -> Iterator[Advice]:
    """Of every task: what was dropped as no answer, what is kept and is none, other answers, other languages.

    Args:
        contradictions: what was said of labels that contradict; other answers of these tasks are said with that.
    """
    yield from _dropped(seen)
    judged = {each.task for each in contradictions}
    for number, task in seen.tasks():
        mine = np.flatnonzero(seen.kept & (seen.rows["task"] == number))
        yield from _no_answers(seen, task, mine)
        if task.short not in judged:
            yield from _other_answers(seen, task, len(mine))
        yield from _other_languages(seen, task, mine)


def _dropped(seen: Seen) -> Iterator[Advice]:
    losses = seen.scan.losses
    for name in seen.scanner.names:
        found = {
            reason: count
            for (of, reason), count in losses.counts.items()
            if of == name and reason.startswith("invalid: ")
        }
        if not found:
            continue
        read = sum(count for (of, _), count in losses.counts.items() if of == name)
        kept = np.count_nonzero(seen.kept & (seen.rows["task"] == seen.scanner.names.index(name)))
        scores, count = scores_about(seen.scanner.tasks[name]), sum(found.values())
        examples = [f"{losses.examples[name, reason]}: {reason}" for reason in found]
        yield Advice(
            "invalid_answers",
            name,
            f"{records(count)} dropped whose answer the task's schema refuses",
            f"what was refused is not learnt; where it is of one kind, {named(scores)} suffers on that kind",
            "mend them, or name the right columns with --map",
            *(count, read + int(kept), "", scores, tuple(examples[:_EXAMPLES])),
        )


def _no_answers(seen: Seen, task: Task, mine: NDArray[np.int64]) -> Iterator[Advice]:
    found = _flagged(seen, mine, NO_ANSWER)
    if len(found):
        yield Advice(
            "unparsed_answers",
            task.short,
            f"{records(len(found))} of {len(mine):,} whose last answer is not the task's JSON object",
            "the model learns to answer so, and every such answer counts as wrong in schema_validity and all scores of "
            "the task; such records of test are not scored",
            f"write the answers as objects, here with {', '.join(task.schema['properties'])}, or give the records a "
            "task of their own",
            *(len(found), len(mine), "", ("schema_validity", *scores_about(task))),
            examples=_places(seen, found),
        )


def _other_answers(seen: Seen, task: Task, kept: int) -> Iterator[Advice]:
    count = seen.scan.losses.counts[task.short, ANOTHER_ANSWER]
    if not count:
        return
    scores = scores_about(task, next(iter(class_fields(task)), ""))
    yield Advice(
        "other_answers",
        task.short,
        f"{records(count)} dropped with another answer to an input that is there already",
        f"only the first answer is learnt, and in test only that one counts as right in {named(scores)}",
        "where several answers are right, put them into metadata.references of one record; where one is, correct it",
        *(count, kept + count, "", scores),
    )


def _other_languages(seen: Seen, task: Task, mine: NDArray[np.int64]) -> Iterator[Advice]:
    field = ", ".join(task.answer_language)
    for kind, flag, where, what, why in (
        (
            "answer_language",
            OTHER_ANSWER_LANGUAGE,
            field,
            f"whose `{field}` is not in the language that it should be in",
            "the model learns to answer in both languages",
        ),
        (
            "text_language",
            OTHER_TEXT_LANGUAGE,
            "",
            "whose learner's text does not look English",
            "the task is about English; what is learnt from these does not help, and those in test are scored like the "
            "others",
        ),
    ):
        found = _flagged(seen, mine, flag)
        if len(found) >= max(1, _WORTH_TELLING * len(mine)):
            scores = scores_about(task, where)
            yield Advice(
                kind,
                task.short,
                f"{records(len(found))} of {len(mine):,} ({len(found) / len(mine):.0%}) {what}",
                f"{why}: it costs {named(scores)}",
                "look at them, and take them out or translate them",
                *(len(found), len(mine), where, scores, _places(seen, found)),
            )


def _flagged(seen: Seen, mine: NDArray[np.int64], flag: int) -> NDArray[np.int64]:
    return mine[(seen.signs["flags"][mine] & flag) > 0]


def _places(seen: Seen, found: NDArray[np.int64]) -> tuple[str, ...]:
    return tuple(seen.place(record) for record in found[:_EXAMPLES].tolist())
