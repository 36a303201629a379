"""Evaluation: a model's answers to held-out records, scored by their tasks, with the trivial predictor beside.

Each score comes with its 95 % bootstrap interval over records, or groups of records that are not independent, and is
judged against the task's target. An invalid answer counts as wrong; the share of valid ones is a score of its own. Of a
conversation every supervised turn is asked: an answer of the task is scored by it, free text as
`conversation_scores.py` says. Cost: nearly all of it generation, task by task, as prompts of one task begin alike; the
loss of the reference answers is one forward pass a record.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass, field, replace
from time import perf_counter
from typing import Any

from lexitrain.evaluation.answer_journal import AnswerJournal
from lexitrain.evaluation.conversations.conversation_scores import (
    ConversationEvaluation,
    evaluate_conversations,
    trivial_turns,
)
from lexitrain.evaluation.generation import Decoding, Said
from lexitrain.evaluation.groups import Grouping, grouped
from lexitrain.evaluation.judging import TaskJudge
from lexitrain.evaluation.questions import Question, questions_of
from lexitrain.evaluation.sources.answer_source import AnswerSource
from lexitrain.evaluation.task_scores import TaskEvaluation
from lexitrain.records import Record
from lexitrain.tasks import (
    Targets,
    Task,
)

Progress = Callable[[str, int, int], None]


@dataclass(frozen=True, slots=True)
class Evaluation:
    """All tasks' scores.

    Attributes:
        tasks: answers of the task's own form, by short name, in the registry's order.
        conversations: turns of conversations, by short name.
        grouping: which records are not independent.
        unscored: reason to number of records that could not be scored.
        reused: answers that an interrupted evaluation had left.
        answer_tokens_per_second: of all prompts together, while they were answered; None where nobody counts tokens or
            some answers were reused.
        seconds: in all.
    """

    tasks: Mapping[str, TaskEvaluation]
    conversations: Mapping[str, ConversationEvaluation]
    grouping: Grouping
    unscored: Mapping[str, int] = field(default_factory=dict[str, int])
    reused: int = 0
    answer_tokens_per_second: float | None = None
    seconds: float = 0.0

    @property
    def n(self) -> int:
        """Scored records."""
        rows = {answer.row for task in self.tasks.values() for answer in task.answers}
        turns = {turn.row for task in self.conversations.values() for turn in task.answers}
        return len(rows | turns)

    @property
    def validity(self) -> float | None:
        """Share of valid answers over the tasks that the model was trained for (all, where that is unknown); None where
        none of them asks for more than free text."""
        return self._share([(task.validity.value, task) for task in self.tasks.values()])

    @property
    def json_validity(self) -> float | None:
        """The same of answers that are JSON at all."""
        return self._share([(task.json_validity.value, task) for task in self.tasks.values()])

    @staticmethod
    def _share(tasks: Sequence[tuple[float | None, TaskEvaluation]]) -> float | None:
        counted = [(s or 0.0, len(t.answers)) for s, t in tasks if t.trained is not False]
        answers = sum(n for _, n in counted)
        return sum(share * n for share, n in counted) / answers if answers else None

    def to_json(self) -> dict[str, Any]:
        """The evaluation as stored, without the answers."""
        return {
            "n": self.n,
            "json_validity": self.json_validity,
            "schema_validity": self.validity,
            "groups": {
                "keys": list(self.grouping.keys),
                "count": len(set(self.grouping.of_row.values())),
            },
            "unscored": dict(self.unscored),
            "reused_answers": self.reused,
            "answer_tokens_per_second": self.answer_tokens_per_second,
            "seconds": round(self.seconds, 2),
            "tasks": {name: task.to_json() for name, task in self.tasks.items()},
            "conversations": {name: each.to_json() for name, each in self.conversations.items()},
        }


def evaluate_source(
    source: AnswerSource,
    rows: Sequence[tuple[int, Record]],
    registry: Mapping[str, Task],
    *,
    train_records: Sequence[Record],
    decoding: Decoding | None = None,
    trained: Collection[str] = (),
    targets: Mapping[str, Targets] | None = None,
    group: str | None = None,
    journal: AnswerJournal | None = None,
    progress: Progress | None = None,
) -> Evaluation:
    """Ask each record and score the answers.

    Args:
        rows: records with their rows in the file.
        train_records: what the trivial predictors learn from.
        decoding: how answers are chosen; greedily, one to each record, by default.
        progress: called with task, records answered, records in all.
        trained: tasks that the model was trained for; empty where unknown.
        targets: by task and score, instead of the tasks' own.
        group: key of the metadata whose equal values make a group; by default `GROUP_KEYS`.
        journal: answers are taken from it and kept in it.

    Raises:
        RecipeError: a target is of no score of its task.
        InputError: an unknown task.
        DataError: no record can be scored.
        MissingExtra: a score needs a package that is not installed (known before anything is generated).
    """
    start = perf_counter()
    decoding = decoding or Decoding()
    grouping = grouped(rows, group)
    asked = questions_of(rows, registry, source.renderer)
    present = [t for s, t in registry.items() if s in asked.tasks or s in asked.conversations]
    judges = {
        task.short: TaskJudge(
            task,
            asked.tasks[task.short],
            train_records,
            grouping,
            (targets or {}).get(task.short),
        )
        for task in present
        if task.short in asked.tasks
    }
    trivial_replies = {
        task.short: trivial_turns(asked.conversations[task.short], task, train_records)
        for task in present
        if task.short in asked.conversations
    }
    known = 0 if journal is None else len(journal.known)
    tasks: dict[str, TaskEvaluation] = {}
    conversations: dict[str, ConversationEvaluation] = {}
    for task in present:
        name = task.short
        source.select(task)
        if questions := asked.tasks.get(name):
            began = perf_counter()
            counter = _Counter(name, len(questions) * decoding.samples, progress)
            answers = answers_of(source, task, questions, decoding, counter.add, journal)
            seconds = perf_counter() - began
            tasks[name] = judges[name].evaluation(
                answers,
                _losses(source, questions, _Counter(f"{name} loss", len(questions), progress)),
                seconds=seconds,
                trained=name in trained if trained else None,
            )
        if talks := asked.conversations.get(name):
            turns = sum(len(each.free) for each in talks) * decoding.samples
            counter = _Counter(f"{name} conversations", turns, progress)
            conversations[name] = evaluate_conversations(
                source,
                task,
                talks,
                trivial=trivial_replies[name],
                grouping=grouping,
                answer=lambda free, most, task=task, tell=counter.add: answers_of(
                    source,
                    task,
                    free,
                    replace(decoding, json_schema=False),
                    tell,
                    journal,
                    maximum_tokens=most,
                ),
            )
    return Evaluation(
        tasks,
        conversations,
        grouping,
        asked.unscored,
        reused=known,
        answer_tokens_per_second=None if known else _speed(source, tasks),
        seconds=perf_counter() - start,
    )


def _speed(source: AnswerSource, tasks: Mapping[str, TaskEvaluation]) -> float | None:
    """Tokens of all answers over the seconds that they took."""
    seconds = sum(task.seconds for task in tasks.values())
    if source.renderer is None or not seconds:
        return None
    texts = [answer.text for task in tasks.values() for answer in task.answers]
    encoded = source.renderer.tokenizer(texts, add_special_tokens=False)["input_ids"]
    return round(sum(map(len, encoded)) / seconds, 1)


def answers_of(
    source: AnswerSource,
    task: Task,
    questions: Sequence[Any],
    decoding: Decoding,
    progress: Callable[[int], None] | None = None,
    journal: AnswerJournal | None = None,
    *,
    maximum_tokens: int = 0,
) -> list[list[Said]]:
    """What the source says to each question; what the journal knows is not asked again.

    Args:
        questions: `Question` or `Turn` each.
        decoding: how answers are chosen.
        maximum_tokens: most tokens of an answer, where the task's own limit is smaller.
    """
    keys = [(task.short, each.row, _turn(each), _shown(task, each)) for each in questions]
    known = {} if journal is None else dict(journal.known)
    left = [place for place, key in enumerate(keys) if len(known.get(key, ())) != decoding.samples]
    # Prompts of one length make batches without padding.
    left.sort(key=lambda place: len(questions[place].prompt))
    if progress and len(left) < len(keys):
        progress((len(keys) - len(left)) * decoding.samples)
    for start in range(0, len(left), source.together):
        places = left[start : start + source.together]
        said = source.answers(
            task,
            [questions[place] for place in places],
            decoding=decoding,
            maximum_tokens=maximum_tokens,
            progress=progress,
        )
        new = [(keys[place], each) for place, each in zip(places, said, strict=True)]
        known.update(new)
        if journal is not None:
            journal.add(new)
    return [known[key] for key in keys]


def _turn(question: Any) -> int:
    number = getattr(question, "number", None)
    return int(number if number is not None else question.turn or 0)


def _shown(task: Task, question: Any) -> str:
    """Hash of the prompt's token ids, or of the messages where there are none."""
    shown = question.prompt.tobytes()
    if not shown:
        shown = json.dumps(task.prompt_messages(question.record), sort_keys=True).encode()
    return hashlib.sha256(shown).hexdigest()[:16]


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


def _losses(
    source: AnswerSource, questions: Sequence[Question], counter: _Counter
) -> list[tuple[float, int] | None]:
    """Nats of each reference answer and its tokens."""
    found: list[tuple[float, int] | None] = []
    for question in questions:
        sample = question.sample
        losses = None if sample is None else source.losses(sample)
        if losses is None or sample is None:
            found.append(None)
            continue
        found.append((sum(losses), int(sample.supervised.sum())))
        counter.add(1)
    return found
