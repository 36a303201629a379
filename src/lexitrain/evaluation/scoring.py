"""Evaluation: a model's answers to held-out records, scored by their tasks, with the trivial predictor beside.

Each score comes with its 95 % bootstrap interval over records and is judged against the task's target. An invalid
answer counts as wrong; the share of valid ones is a score of its own. Of a conversation every supervised turn is asked:
an answer of the task is scored by it, free text as `conversation_scores.py` says. Answers are generated greedily, so
the same model gives the same evaluation; where several are drawn, each counts as a share of its record. Cost: nearly
all of it generation, task by task, as prompts of one task begin alike.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import date
from time import perf_counter
from typing import Any

from lexitrain.errors import InputError
from lexitrain.evaluation.conversation_scores import (
    Conversation,
    ConversationEvaluation,
    evaluate_conversations,
    trivial_turns,
)
from lexitrain.evaluation.generation import Decoding, Said, ask, numbered
from lexitrain.evaluation.task_scores import Answered, TaskEvaluation
from lexitrain.evaluation.turns import turns_of
from lexitrain.records import Record
from lexitrain.samples import Ids, Renderer
from lexitrain.tasks import Answer, Score, Task, bootstrap, mean

Progress = Callable[[str, int, int], None]


@dataclass(frozen=True, slots=True)
class Evaluation:
    """All tasks' scores.

    Attributes:
        tasks: answers of the task's own form, by short name, in the registry's order.
        conversations: turns of conversations, by short name.
        unscored: reason to number of records that could not be scored.
        seconds: in all.
    """

    tasks: Mapping[str, TaskEvaluation]
    conversations: Mapping[str, ConversationEvaluation] = field(
        default_factory=dict[str, ConversationEvaluation]
    )
    unscored: Mapping[str, int] = field(default_factory=dict[str, int])
    seconds: float = 0.0

    @property
    def n(self) -> int:
        """Scored records."""
        rows = {answer.row for task in self.tasks.values() for answer in task.answers}
        turns = {turn.row for task in self.conversations.values() for turn in task.answers}
        return len(rows | turns)

    @property
    def validity(self) -> float | None:
        """Share of valid answers over all tasks; None where only free text was asked for."""
        answers = [answer for task in self.tasks.values() for answer in task.answers]
        valid = sum(answer.answer is not None for answer in answers)
        return valid / len(answers) if answers else None

    def to_json(self) -> dict[str, Any]:
        """The evaluation as stored, without the answers."""
        return {
            "n": self.n,
            "json_validity": self.validity,
            "unscored": dict(self.unscored),
            "seconds": round(self.seconds, 2),
            "tasks": {name: task.to_json() for name, task in self.tasks.items()},
            "conversations": {name: each.to_json() for name, each in self.conversations.items()},
        }


@dataclass(frozen=True, slots=True)
class _Question:
    row: int
    record: Record
    reference: Answer
    prompt: Ids
    turn: int | None = None


@dataclass(slots=True)
class _Work:
    """What can be asked and scored, by task; the number of other records by reason."""

    questions: dict[str, list[_Question]] = field(default_factory=dict[str, list[_Question]])
    conversations: dict[str, list[Conversation]] = field(
        default_factory=dict[str, list[Conversation]]
    )
    unscored: dict[str, int] = field(default_factory=dict[str, int])


def evaluate_records(
    model: Any,
    tokenizer: Any,
    rows: Sequence[tuple[int, Record]],
    registry: Mapping[str, Task],
    *,
    train_records: Sequence[Record],
    max_length: int,
    day: date | None = None,
    decoding: Decoding | None = None,
    batch_size: int = 64,
    select: Callable[[str], None] | None = None,
    progress: Progress | None = None,
) -> Evaluation:
    """Generate an answer to each record and score them.

    Args:
        rows: records with their rows in the file.
        train_records: what the trivial predictors learn from.
        max_length: tokens of a sample in training; longer prompts are shortened, and no answer is longer.
        day: the date that a dated chat template writes; today where not given.
        decoding: how answers are chosen; greedily, one to each record, by default.
        batch_size: prompts generated together.
        select: called with the task before its prompts are answered, to change adapters.
        progress: called with task, records answered, records in all.

    Raises:
        InputError: an unknown task, or no record can be scored.
        MissingExtra: a score needs a package that is not installed (known before anything is generated).
    """
    start = perf_counter()
    decoding = decoding or Decoding()
    renderer = Renderer(tokenizer, registry, max_length, day=day)
    work = _work(renderer, rows)
    present = [t for s, t in registry.items() if s in work.questions or s in work.conversations]
    trivials = {
        task.short: _trivial_scores(task, work.questions[task.short], train_records)
        for task in present
        if task.short in work.questions
    }
    trivial_replies = {
        task.short: trivial_turns(work.conversations[task.short], task, train_records)
        for task in present
        if task.short in work.conversations
    }
    tasks: dict[str, TaskEvaluation] = {}
    conversations: dict[str, ConversationEvaluation] = {}
    for task in present:
        name = task.short
        if select:
            select(name)
        if asked := work.questions.get(name):
            began, counter = perf_counter(), _Counter(name, len(asked) * decoding.samples, progress)
            prompts = [question.prompt for question in asked]
            answers = ask(
                model,
                renderer,
                task,
                prompts,
                decoding=decoding,
                batch_size=batch_size,
                progress=counter.add,
            )
            tasks[name] = _score(task, asked, answers, trivials[name], perf_counter() - began)
        if talks := work.conversations.get(name):
            began = perf_counter()
            turns = sum(len(each.free) for each in talks) * decoding.samples
            counter = _Counter(f"{name} conversations", turns, progress)
            scores, answered = evaluate_conversations(
                model,
                renderer,
                task,
                talks,
                decoding=decoding,
                batch_size=batch_size,
                progress=counter.add,
            )
            seconds = perf_counter() - began
            conversations[name] = ConversationEvaluation(
                name, scores, trivial_replies[name], answered, seconds
            )
    return Evaluation(tasks, conversations, work.unscored, perf_counter() - start)


@dataclass(slots=True)
class _Counter:
    task: str
    total: int
    tell: Progress | None
    done: int = 0

    def add(self, count: int) -> None:
        self.done += count
        if self.tell:
            self.tell(self.task, self.done, self.total)


def _work(renderer: Renderer, rows: Sequence[tuple[int, Record]]) -> _Work:
    work = _Work()
    for row, record in rows:
        task = renderer.task(record)
        try:
            if record.messages is not None:
                _add_conversation(work, renderer, row, record)
                continue
            reference = task.reference(record)
            if reference is None:
                raise InputError(task.check(record) or "the record holds no answer")
            question = _Question(row, record, reference, renderer.prompt_ids(record))
        except InputError as error:
            work.unscored[error.what] = work.unscored.get(error.what, 0) + 1
            continue
        work.questions.setdefault(task.short, []).append(question)
    if not work.questions and not work.conversations:
        reason = next(iter(work.unscored), "there are none")
        raise InputError(f"No record can be scored: {reason}.")
    return work


def _add_conversation(work: _Work, renderer: Renderer, row: int, record: Record) -> None:
    """Every supervised turn counts in the loss; those that are answers of the task are questions of their own."""
    samples, turns = turns_of(renderer, row, record)
    if not turns:
        raise InputError("a conversation without a turn that is to be learnt")
    work.conversations.setdefault(record.task, []).append(Conversation(samples, turns))
    for turn in turns:
        if turn.reference is not None:
            asked = _Question(row, turn.record, turn.reference, turn.prompt, turn.number)
            work.questions.setdefault(record.task, []).append(asked)


def _trivial_scores(
    task: Task, questions: Sequence[_Question], train_records: Sequence[Record]
) -> dict[str, Score]:
    own = [record for record in train_records if record.task == task.short]
    try:
        predict = task.trivial(own)
    except InputError:  # nothing to learn from
        return {}
    return _scores(task, questions, [predict(question.record) for question in questions])


def _score(
    task: Task,
    questions: Sequence[_Question],
    said: Sequence[Sequence[Said]],
    trivial: Mapping[str, Score],
    seconds: float,
) -> TaskEvaluation:
    answered = [
        _answered(task, question, each, sample)
        for question, answers in zip(questions, said, strict=True)
        for sample, each in numbered(answers)
    ]
    questions = [
        question for question, answers in zip(questions, said, strict=True) for _ in answers
    ]
    answers = [each.answer for each in answered]
    valid = mean([answer is not None for answer in answers])
    return TaskEvaluation(
        task=task.short,
        validity=bootstrap(valid, len(answers), groups=[each.row for each in answered]),
        scores=_scores(task, questions, answers),
        trivial=trivial,
        targets=task.targets,
        lower_is_better=task.lower_is_better,
        answers=answered,
        seconds=seconds,
    )


def _answered(task: Task, question: _Question, said: Said, sample: int | None) -> Answered:
    """An answer that was cut off is none, even where it happens to be one so far."""
    return Answered(
        question.row,
        question.record,
        question.reference,
        said.text,
        None if said.truncated else task.parse(said.text),
        said.truncated or task.invalid(said.text),
        question.turn,
        said.truncated is not None,
        sample,
    )


def _scores(
    task: Task, questions: Sequence[_Question], answers: Sequence[Answer | None]
) -> dict[str, Score]:
    records = [question.record for question in questions]
    rows = [question.row for question in questions]
    return {
        name: bootstrap(statistic, len(records), groups=rows)
        for name, statistic in task.statistics(records, answers).items()
    }
