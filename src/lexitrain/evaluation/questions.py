"""What a model is asked: a question a record, or a supervised turn of a conversation."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING

import numpy as np

from lexitrain.errors import DataError, InputError
from lexitrain.evaluation.conversations.turns import Turn, turns_of
from lexitrain.records import is_learnt

if TYPE_CHECKING:
    from lexitrain.records import Record
    from lexitrain.samples import Ids, Renderer, Sample
    from lexitrain.tasks import Answer, Task


@dataclass(frozen=True, slots=True)
class Question:
    """One record, or turn of a conversation, that is an answer of its task.

    Attributes:
        row: of the record in its file.
        record: of a conversation, it up to this turn.
        reference: the answer that counts as right.
        prompt: int32 [P], all that the model sees; empty where it is asked by messages.
        sample: prompt and reference answer as trained; None of a turn, where the answer is too long to be trained, and
            where the model is asked by messages.
        turn: which of the conversation's supervised turns.
    """

    row: int
    record: Record
    reference: Answer
    prompt: Ids
    sample: Sample | None = None
    turn: int | None = None


@dataclass(frozen=True, slots=True)
class Conversation:
    """A conversation to be scored: its row, its samples and its supervised turns."""

    row: int
    samples: Sequence[Sample]
    turns: Sequence[Turn]

    @property
    def free(self) -> list[Turn]:
        """The turns that are free text."""
        return [turn for turn in self.turns if turn.reference is None]


@dataclass(slots=True)
class Questions:
    """What can be asked and scored, by task.

    Attributes:
        tasks: answers of the task's own form, by short name.
        conversations: by short name.
        unscored: reason to number of records that cannot be scored.
    """

    tasks: dict[str, list[Question]] = field(default_factory=dict[str, list[Question]])
    conversations: dict[str, list[Conversation]] = field(
        default_factory=dict[str, list[Conversation]]
    )
    unscored: dict[str, int] = field(default_factory=dict[str, int])


def questions_of(
    rows: Sequence[tuple[int, Record]], tasks: Mapping[str, Task], renderer: Renderer | None
) -> Questions:
    """The questions that records make.

    Args:
        rows: records with their rows in the file.
        tasks: by short name.
        renderer: of prompts as token ids; None for a model that is asked by messages.

    Raises:
        InputError: an unknown task.
        DataError: no record can be scored.
    """
    found = Questions()
    for row, record in rows:
        task = tasks[record.task] if renderer is None else renderer.task(record)
        try:
            if record.messages is not None:
                _add_conversation(found, task, renderer, row, record)
            else:
                question = _question(task, renderer, row, record)
                found.tasks.setdefault(task.short, []).append(question)
        except InputError as error:
            found.unscored[error.what] = found.unscored.get(error.what, 0) + 1
    if not found.tasks and not found.conversations:
        reason = next(iter(found.unscored), "there are none")
        raise DataError(
            f"No record can be scored: {reason}.",
            fix="Give records that hold an answer of their task: lexitrain data prepare",
        )
    return found


def _question(task: Task, renderer: Renderer | None, row: int, record: Record) -> Question:
    reference = task.reference(record)
    if reference is None:
        raise DataError(task.check(record) or "the record holds no answer")
    if renderer is None:
        return Question(row, record, reference, np.zeros(0, np.int32))
    prompt = renderer.prompt_ids(record)
    try:
        sample = renderer.render(record, row)
    except InputError:  # an answer that was too long to be learnt can still be asked for
        sample = None
    return Question(row, record, reference, prompt, sample)


def _add_conversation(
    found: Questions, task: Task, renderer: Renderer | None, row: int, record: Record
) -> None:
    """Every supervised turn counts in the loss; those that are answers of the task are questions of their own."""
    if renderer is None:
        samples, turns = [], _turns_by_messages(task, row, record)
    else:
        samples, turns = turns_of(renderer, row, record)
    if not turns:
        raise DataError("a conversation without a turn that is to be learnt")
    found.conversations.setdefault(record.task, []).append(Conversation(row, samples, turns))
    for turn in turns:
        if turn.reference is not None:
            asked = Question(row, turn.record, turn.reference, turn.prompt, turn=turn.number)
            found.tasks.setdefault(record.task, []).append(asked)


def _turns_by_messages(task: Task, row: int, record: Record) -> list[Turn]:
    """The supervised turns of a conversation, without token ids."""
    nothing = np.zeros(0, np.int32)
    messages = record.messages or ()
    places = [place for place, turn in enumerate(messages, 1) if is_learnt(turn)]
    turns: list[Turn] = []
    for number, place in enumerate(places, start=1):
        text = str(messages[place - 1]["content"])
        upto = replace(record, messages=messages[:place])
        turns.append(Turn(row, number, upto, nothing, nothing, text, task.parse(text)))
    return turns
