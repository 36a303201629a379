"""Evaluation: a model's answers to held-out records, scored by their tasks, with the trivial predictor beside.

Each score comes with its 95 % bootstrap interval over records and is judged against the task's target. An invalid
answer counts as wrong; the share of valid ones is a score of its own. Answers are generated greedily, so the same
model gives the same evaluation. Cost: nearly all of it generation, task by task, as prompts of one task begin alike.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass, field
from time import perf_counter
from typing import Any

import numpy as np

from lexitrain.errors import InputError
from lexitrain.evaluation.answering import ask
from lexitrain.records import Record
from lexitrain.samples import Ids, Renderer
from lexitrain.tasks import Answer, Score, Targets, Task, bootstrap, mean

Progress = Callable[[str, int, int], None]


@dataclass(frozen=True, slots=True)
class Answered:
    """One record with the model's answer.

    Attributes:
        row: of the record in its file.
        text: what the model said.
        answer: the same as an object; None when it is not valid.
        invalid: why it is not.
    """

    row: int
    record: Record
    reference: Answer
    text: str
    answer: Answer | None
    invalid: str | None

    def to_json(self) -> dict[str, Any]:
        """As a line of the answers file."""
        return {
            "row": self.row,
            "task": self.record.task,
            "input": self.record.input,
            "reference": self.reference,
            "text": self.text,
            "valid": self.answer is not None,
            "invalid": self.invalid,
        }


@dataclass(frozen=True, slots=True)
class TaskEvaluation:
    """The scores of one task.

    Attributes:
        validity: share of answers that are JSON with the task's keys and types.
        scores: by name, with intervals.
        trivial: the same scores of the trivial predictor; empty where it had nothing to learn from.
        targets: side and value by score name.
        lower_is_better: names of scores where less is better.
        answers: every scored record.
        seconds: of generation.
    """

    task: str
    validity: Score
    scores: Mapping[str, Score]
    trivial: Mapping[str, Score]
    targets: Targets
    lower_is_better: frozenset[str]
    answers: Sequence[Answered]
    seconds: float

    def met(self, name: str) -> bool | None:
        """Whether the score reaches its target; None without one."""
        if name not in self.targets:
            return None
        side, bound = self.targets[name]
        value = self.scores[name].value
        return value < bound if side == "<" else value > bound

    def beats_trivial(self, name: str) -> bool | None:
        """Whether the whole interval is better than the trivial predictor's value; None without one."""
        if name not in self.trivial:
            return None
        score, trivial = self.scores[name], self.trivial[name].value
        return score.high < trivial if name in self.lower_is_better else score.low > trivial

    def to_json(self) -> dict[str, Any]:
        """Scores, without the answers."""
        return {
            "n": self.validity.n,
            "json_validity": asdict(self.validity),
            "seconds": round(self.seconds, 2),
            "scores": {
                name: {
                    **asdict(score),
                    "trivial": self.trivial[name].value if name in self.trivial else None,
                    "beats_trivial": self.beats_trivial(name),
                    "target": "".join(map(str, self.targets.get(name, ()))) or None,
                    "met": self.met(name),
                    "lower_is_better": name in self.lower_is_better,
                }
                for name, score in self.scores.items()
            },
        }


@dataclass(frozen=True, slots=True)
class Evaluation:
    """All tasks' scores.

    Attributes:
        tasks: by short name, in the registry's order.
        unscored: reason to number of records that could not be scored.
        seconds: in all.
    """

    tasks: Mapping[str, TaskEvaluation]
    unscored: Mapping[str, int] = field(default_factory=dict[str, int])
    seconds: float = 0.0

    @property
    def n(self) -> int:
        """Scored records."""
        return sum(task.validity.n for task in self.tasks.values())

    @property
    def validity(self) -> float:
        """Share of valid answers over all tasks."""
        return sum(task.validity.value * task.validity.n for task in self.tasks.values()) / self.n

    def to_json(self) -> dict[str, Any]:
        """The evaluation as stored, without the answers."""
        return {
            "n": self.n,
            "json_validity": self.validity,
            "unscored": dict(self.unscored),
            "seconds": round(self.seconds, 2),
            "tasks": {name: task.to_json() for name, task in self.tasks.items()},
        }


@dataclass(frozen=True, slots=True)
class _Question:
    row: int
    record: Record
    reference: Answer
    prompt: Ids


def evaluate_records(
    model: Any,
    tokenizer: Any,
    rows: Sequence[tuple[int, Record]],
    registry: Mapping[str, Task],
    *,
    train_records: Sequence[Record],
    max_length: int,
    batch_size: int = 64,
    select: Callable[[str], None] | None = None,
    progress: Progress | None = None,
) -> Evaluation:
    """Generate an answer to each record and score them.

    Args:
        rows: records with their rows in the file.
        train_records: what the trivial predictors learn from.
        max_length: tokens of a sample in training; longer prompts are shortened, and no answer is longer.
        batch_size: prompts generated together.
        select: called with the task before its prompts are answered, to change adapters.
        progress: called with task, records answered, records in all.

    Raises:
        InputError: an unknown task, or no record can be scored.
        MissingExtra: a score needs a package that is not installed (known before anything is generated).
    """
    start = perf_counter()
    renderer = Renderer(tokenizer, registry, max_length)
    questions, unscored = _questions(renderer, rows)
    present = [task for short, task in registry.items() if short in questions]
    trivials = {
        task.short: _trivial_scores(task, questions[task.short], train_records) for task in present
    }
    tasks: dict[str, TaskEvaluation] = {}
    for task in present:
        asked = questions[task.short]
        if select:
            select(task.short)
        counter = _Counter(task.short, len(asked), progress)
        began = perf_counter()
        answers = ask(
            model,
            renderer,
            task,
            [question.prompt for question in asked],
            batch_size=batch_size,
            progress=counter.add,
        )
        tasks[task.short] = _score(
            task, asked, answers, trivials[task.short], perf_counter() - began
        )
    return Evaluation(tasks, unscored, perf_counter() - start)


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


def _questions(
    renderer: Renderer, rows: Sequence[tuple[int, Record]]
) -> tuple[dict[str, list[_Question]], dict[str, int]]:
    """What can be asked and scored, by task; the number of other records by reason."""
    questions: dict[str, list[_Question]] = {}
    unscored: dict[str, int] = {}
    for row, record in rows:
        task = renderer.task(record)
        reference = task.reference(record)
        try:
            if reference is None:
                raise InputError(task.check(record) or "a conversation without a JSON answer")
            prompt = renderer.prompt_ids(record)
        except InputError as error:
            unscored[error.what] = unscored.get(error.what, 0) + 1
            continue
        questions.setdefault(task.short, []).append(_Question(row, record, reference, prompt))
    if not questions:
        reason = next(iter(unscored), "there are none")
        raise InputError(f"No record can be scored: {reason}.")
    return questions, unscored


def _trivial_scores(
    task: Task, questions: Sequence[_Question], train_records: Sequence[Record]
) -> dict[str, Score]:
    own = [record for record in train_records if record.task == task.short]
    records = [question.record for question in questions]
    try:
        predict = task.trivial(own)
    except InputError:  # nothing to learn from
        return {}
    return _scores(task, records, [predict(record) for record in records])


def _score(
    task: Task,
    questions: Sequence[_Question],
    texts: Sequence[str],
    trivial: Mapping[str, Score],
    seconds: float,
) -> TaskEvaluation:
    answered = [
        Answered(q.row, q.record, q.reference, text, task.parse(text), task.invalid(text))
        for q, text in zip(questions, texts, strict=True)
    ]
    answers = [each.answer for each in answered]
    valid = np.array([answer is not None for answer in answers])
    return TaskEvaluation(
        task=task.short,
        validity=bootstrap(mean(valid), len(valid)),
        scores=_scores(task, [question.record for question in questions], answers),
        trivial=trivial,
        targets=task.targets,
        lower_is_better=task.lower_is_better,
        answers=answered,
        seconds=seconds,
    )


def _scores(
    task: Task, records: Sequence[Record], answers: Sequence[Answer | None]
) -> dict[str, Score]:
    return {
        name: bootstrap(statistic, len(records))
        for name, statistic in task.statistics(records, answers).items()
    }
