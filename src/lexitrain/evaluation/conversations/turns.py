"""The supervised turns of a conversation: for each the token ids that stand before it, and what it should be.

They are read off the samples that training learns from, so what a model is asked is what it was trained on, token for
token: the same shortening, the same pieces, and only turns whose loss counts.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from itertools import pairwise
from typing import TYPE_CHECKING

import numpy as np

from lexitrain.records import is_learnt

if TYPE_CHECKING:
    from lexitrain.records import Record
    from lexitrain.samples import Ids, Renderer, Sample
    from lexitrain.tasks import Answer


@dataclass(frozen=True, slots=True)
class Turn:
    """A supervised turn of a conversation.

    Attributes:
        row: of the record in its file.
        number: of the turn among the conversation's supervised ones, from 1.
        record: the conversation up to and including this turn.
        prompt: int32 [P], all that the model sees before it.
        answer_ids: int32 [A], the turn with its end of turn.
        text: the turn.
        reference: the turn as an answer of the task; None where it is free text.
    """

    row: int
    number: int
    record: Record
    prompt: Ids
    answer_ids: Ids
    text: str
    reference: Answer | None

    @property
    def question(self) -> str:
        """The last thing that the learner said before."""
        said = [turn["content"] for turn in self.record.messages or () if turn["role"] == "user"]
        return said[-1] if said else ""


def turns_of(renderer: Renderer, row: int, record: Record) -> tuple[list[Sample], list[Turn]]:
    """The samples of a conversation, and its supervised turns in order.

    Raises:
        InputError: the conversation cannot be trained on; see `Renderer.render`.
    """
    samples = renderer.render_parts(record, row)
    task = renderer.task(record)
    answers = [
        (sample.token_ids[:start], sample.token_ids[start:end])
        for sample in samples
        for start, end in supervised_spans(sample)
    ]
    ends = _places(record, len(answers))
    turns: list[Turn] = []
    for number, ((prompt, ids), place) in enumerate(zip(answers, ends, strict=True), start=1):
        text = _text(renderer, ids)
        upto = replace(record, messages=(record.messages or ())[:place])
        reference = None if place is None else task.parse(text)
        turns.append(Turn(row, number, upto, prompt, ids, text, reference))
    return samples, turns


def supervised_spans(sample: Sample) -> list[tuple[int, int]]:
    """(start, end) of each run of supervised tokens, counted from the sample's first token."""
    marks = np.concatenate([[False], sample.supervised, [False]])
    edges = np.flatnonzero(marks[1:] != marks[:-1]) + len(sample.prompt_ids)
    return [(int(start), int(end)) for start, end in list(pairwise(edges))[::2]]


def _text(renderer: Renderer, ids: Ids) -> str:
    kept = [int(token) for token in ids if int(token) not in renderer.stop_ids]
    return renderer.tokenizer.decode(kept, clean_up_tokenization_spaces=False)


def _places(record: Record, count: int) -> list[int | None]:
    """For each supervised turn the number of the record's turns up to it; None where it cannot be told."""
    learnt = [place for place, turn in enumerate(record.messages or (), 1) if is_learnt(turn)]
    return [*learnt] if len(learnt) == count else [None] * count
