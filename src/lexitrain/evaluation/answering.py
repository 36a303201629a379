"""Answers of a model to texts of one task, or to conversations: what `lexitrain predict` prints.

Both are asked in the form that was trained: texts and turns are made tidy as `data prepare` makes them, and the prompt
is, token for token, the one that training put before an answer.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from copy import copy
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from lexitrain.errors import DataError, InputError, TaskError, nearest
from lexitrain.evaluation.conversations.turns import supervised_spans
from lexitrain.evaluation.generation import Decoding, Said, ask, numbered, require_llguidance
from lexitrain.evaluation.sources.located_model import LocatedModel, load_model, locate_model
from lexitrain.recipe import DataSection
from lexitrain.records import BadRow, Record, tidy_record
from lexitrain.samples import Ids, Renderer
from lexitrain.tasks import (
    OWN_TASK,
    Answer,
    Message,
    Task,
    aliases,
    find_task,
    own_tasks,
    registry,
)

_ANSWER = "answer"
"""Stands for the answer that is asked for, while a conversation is rendered; nothing of it is shown to the model."""


@dataclass(frozen=True, slots=True)
class Prediction:
    """A model's answer to one text or conversation.

    Attributes:
        task: short name.
        input: the learner's text; of a conversation the last thing that he said.
        answer: the answer's fields; None when it is not valid, or the free text of a conversation.
        text: what the model said.
        problem: why that is no valid answer; None when it is one.
        messages: the turns that were asked; None for a text.
        truncated: whether it ran into the limit of tokens instead of ending; it is no answer then.
        sample: its number, from 1, among several answers to the same; None where there is one.
        shortened: whether the text is longer than a sample of training may be, so that its end was not read.
    """

    task: str
    input: str
    answer: Answer | None
    text: str
    problem: str | None
    messages: tuple[Message, ...] | None = None
    truncated: bool = False
    sample: int | None = None
    shortened: bool = False

    @property
    def valid(self) -> bool:
        """Whether the answer is JSON with exactly the task's keys and types, or, in a conversation, ended free text."""
        return self.problem is None

    def to_json(self) -> dict[str, Any]:
        """The prediction as JSON."""
        asked = {} if self.messages is None else {"messages": list(self.messages)}
        sample = {} if self.sample is None else {"sample": self.sample}
        shortened = {"shortened": True} if self.shortened else {}
        return {
            "task": self.task,
            "input": self.input,
            **asked,
            **sample,
            **shortened,
            "answer": self.answer,
            "valid": self.valid,
            "truncated": self.truncated,
            "text": self.text,
            "problem": self.problem,
        }


class Answerer:
    """A model loaded to answer texts of one task, or conversations.

    Attributes:
        task: that it answers.
        tasks: short names of the tasks that it was trained for; of a base alone all that are known.
        unfinished: checkpoints that stand for the adapter of a run that has not finished.

    Args:
        model: a run, an adapter folder, a base folder, `nano`, or a Hub id.
        task: short name or name in the prompt; not needed where the model knows one task only.
        any_task: where none is named take the first one; `for_task` asks by the others.
        system: system text of conversations that have none, instead of the recipe's `data.system`: a text, or `none`.
            Texts are then asked as conversations: this system turn, then the text as it stands.
        decoding: how answers are chosen; greedily, one to each text, by default.
        custom_tasks: `path.py` or `module:attribute` of tasks of your own. Their code is executed.
        trust_tasks: execute the code of the tasks that a run names as its own.

    Raises:
        TaskError: there is no such task, or the model knows several and none was named.
        ModelError: the model cannot be had.
        RunError: the run has neither an adapter nor a checkpoint.
        MissingExtra: answers are to be held to a schema, and llguidance is not installed.
    """

    def __init__(
        self,
        model: str | Path,
        task: str | None = None,
        *,
        any_task: bool = False,
        system: str | None = None,
        decoding: Decoding | None = None,
        custom_tasks: Sequence[str] = (),
        trust_tasks: bool = False,
    ) -> None:
        self._decoding = decoding or Decoding()
        if self._decoding.json_schema:
            require_llguidance()
        self._given_system = None if system is None else _system(system)
        located = locate_model(model)
        tasks, hint = tasks_of(located, custom_tasks, trust_tasks, system=self._given_system)
        self.tasks = tuple(name for name in located.tasks or tasks if name in tasks)
        if any_task and not self.tasks:
            raise not_loaded(located.tasks[0], located, hint)
        wanted = task or (self.tasks[0] if any_task else _only_task(located, tasks))
        self.task = wanted_task(wanted, tasks, located, hint)
        self._loaded = load_model(located)
        self._loaded.select(self.task.short)
        self.unfinished = located.unfinished
        self._tasks, self._hint = tasks, hint
        self._aliases = aliases(tasks)
        self._renderer = Renderer(
            self._loaded.tokenizer, tasks, located.max_length, day=located.day
        )

    def for_task(self, task: str) -> Answerer:
        """The same loaded model, to be asked by another task; nothing is loaded again.

        Raises:
            TaskError: there is no such task, or every task has an adapter of its own and this one has none.
        """
        other = copy(self)
        other.task = wanted_task(task, self._tasks, self._loaded.located, self._hint)
        self._loaded.located.require([other.task.short])
        return other

    def answer(
        self, texts: Sequence[str], *, places: Sequence[str] | None = None
    ) -> list[Prediction]:
        """The answer to each text, or its answers one after the other; texts are answered together.

        Args:
            places: how errors name each text; by default as `texts[0]`.

        Raises:
            InputError: it is one text, where a list of texts is wanted.
            DataError: a text is empty or no Unicode text.
        """
        _require_texts(texts)
        named = places or [f"texts[{number}]" for number in range(len(texts))]
        if self._given_system is not None:
            turns = [[{"role": "user", "content": text}] for text in texts]
            return self.answer_conversations(turns, places=named)
        task = self.task
        self._loaded.select(task.short)
        records = [
            self._record({"input": text, "output": _ANSWER}, place)
            for text, place in zip(texts, named, strict=True)
        ]
        asked = [self._renderer.prompt(record) for record in records]
        prompts = [prompt for prompt, _ in asked]
        answers = ask(self._loaded.model, self._renderer, task, prompts, decoding=self._decoding)
        return [
            Prediction(
                task.short,
                record.input,
                None if said.truncated else task.parse(said.text),
                said.text,
                said.truncated or task.invalid(said.text),
                truncated=said.truncated is not None,
                sample=sample,
                shortened=shortened,
            )
            for record, (_, shortened), each in zip(records, asked, answers, strict=True)
            for sample, said in numbered(each)
        ]

    def answer_conversations(
        self,
        conversations: Sequence[Sequence[Message]],
        *,
        places: Sequence[str] | None = None,
    ) -> list[Prediction]:
        """The model's next turn in each conversation, or its proposals one after the other.

        An answer that begins like JSON must be a valid one of the task; other text is taken as it is. Where answers
        are held to the task's schema, every turn is one.

        Args:
            conversations: turns as `{"role", "content"}`, the learner's turn last.
            places: how errors name each conversation; by default as `conversations[0]`.

        Raises:
            DataError: a turn cannot be used, the last one is the tutor's, or the conversation has a system turn and
                the `Answerer` was given one too.
        """
        named = places or [f"conversations[{number}]" for number in range(len(conversations))]
        records = [
            self._conversation(turns, place)
            for turns, place in zip(conversations, named, strict=True)
        ]
        prompts = [self._prompt(record) for record in records]
        longest = self._renderer.max_length
        self._loaded.select(self.task.short)
        answers = ask(
            self._loaded.model,
            self._renderer,
            self.task,
            prompts,
            maximum_tokens=longest,
            decoding=self._decoding,
        )
        return [
            self._reply(record, said, sample)
            for record, each in zip(records, answers, strict=True)
            for sample, said in numbered(each)
        ]

    def _conversation(self, turns: Sequence[Message], where: str) -> Record:
        roles = [_role(turn) for turn in turns]
        if not roles or roles[-1] not in {"user", "human"}:
            last = f"The last turn is that of {roles[-1]!r}" if roles else "There is no turn"
            raise DataError(
                f"{last}: there is nothing to answer.",
                where=where,
                fix="End with the turn that is to be answered, one of the role user.",
            )
        if self._given_system is not None and roles[0] == "system":
            raise DataError(
                "The conversation has a system turn of its own, and another one was given.",
                where=where,
                fix="Leave one of the two out: the turn, or --system.",
            )
        if "from" in turns[-1]:
            answer = {"from": "gpt", "value": _ANSWER}
            return self._record({"conversations": [*turns, answer]}, where)
        answer = {"role": "assistant", "content": _ANSWER}
        return self._record({"messages": [*turns, answer]}, where)

    def _record(self, row: dict[str, Any], where: str) -> Record:
        """The record of a row, by the rules and with the tidy text of `data prepare`."""
        try:
            record = tidy_record({"task": self.task.short, **row}, self._aliases, None)[0]
        except BadRow as error:
            raise DataError(f"This cannot be asked: {error}.", where=where) from None
        if not record.input:
            raise DataError("The text is empty.", where=where)
        return record

    def _prompt(self, record: Record) -> Ids:
        """What training puts before the last answer of a conversation: int32 [P]."""
        before = list(record.messages or ())
        answer = before.pop()
        # What the tutor has said is context here, whether or not a model could have said it.
        context = [
            {**turn, "weight": 0} if turn["role"] == "assistant" else turn for turn in before
        ]
        sample = self._renderer.render(replace(record, messages=(*context, answer)))
        return sample.token_ids[: supervised_spans(sample)[-1][0]]

    def _reply(self, record: Record, said: Said, sample: int | None) -> Prediction:
        turns = tuple((record.messages or ())[:-1])
        whole = (*turns, {"role": "assistant", "content": said.text})
        problem = self.task.check(replace(record, messages=whole))  # the rule for what is learnt
        question = [turn["content"] for turn in turns if turn["role"] == "user"][-1]
        return Prediction(
            self.task.short,
            question,
            None if said.truncated else self.task.parse(said.text),
            said.text,
            said.truncated or problem,
            turns,
            truncated=said.truncated is not None,
            sample=sample,
        )


def answer(
    model: str | Path,
    texts: Sequence[str],
    *,
    task: str | None = None,
    system: str | None = None,
    decoding: Decoding | None = None,
    custom_tasks: Sequence[str] = (),
    trust_tasks: bool = False,
) -> list[Prediction]:
    """A model's answers to texts of one task. To ask the same model again keep a `Tutor`; conversations: `Answerer`.

    Args and errors as of `Answerer`.
    """
    return Answerer(
        model,
        task,
        system=system,
        decoding=decoding,
        custom_tasks=custom_tasks,
        trust_tasks=trust_tasks,
    ).answer(texts)


def tasks_of(
    located: LocatedModel,
    custom_tasks: Sequence[str],
    trust_tasks: bool,
    *,
    system: str | None = None,
) -> tuple[dict[str, Task], str]:
    """The tasks by which a model is asked, and what to do where one of the run's own is missed.

    Args:
        custom_tasks, trust_tasks: see `Answerer`.
        system: instead of the recipe's `data.system`.
    """
    own = own_tasks(located.custom_tasks, located.folders, given=custom_tasks, trust=trust_tasks)
    return registry(own.sources, located.system if system is None else system), own.hint


def _require_texts(texts: object) -> None:
    if isinstance(texts, str | bytes):
        problem = "This is one text, and its letters would be asked one by one."
    elif not isinstance(texts, Sequence):
        problem = f"This is of the type {type(texts).__name__}, which is no list of texts."
    else:
        return
    raise InputError(problem, where="texts", fix="Give a list of texts: [text].")


def _system(text: str) -> str:
    """The system text by the rules of `data.system`."""
    try:
        return str(DataSection(system=text).system)
    except ValueError:
        raise InputError(
            "This is no system text.",
            where="--system",
            fix="Give a text, or none for no system turn.",
        ) from None


def _role(turn: object) -> str:
    fields: dict[str, Any] = turn if isinstance(turn, dict) else {}
    return str(fields.get("role", fields.get("from")))


def wanted_task(name: str, tasks: Mapping[str, Task], located: LocatedModel, hint: str) -> Task:
    """The task of this name; where it is missed for want of trust, the error says so."""
    if not isinstance(name, str):  # pyright: ignore[reportUnnecessaryIsInstance]
        raise TaskError(
            f"A task is named by a text, not by something of the type {type(name).__name__}.",
            where="--task",
            fix=f"One of: {', '.join(tasks)}.",
        )
    if hint and name not in aliases(tasks):
        close = nearest(name, aliases(tasks))
        raise not_loaded(name, located, f"Did you mean {close}? {hint}" if close else hint)
    return find_task(name, tasks, where="--task", fix=OWN_TASK)


def not_loaded(name: str, located: LocatedModel, hint: str) -> TaskError:
    """The error for a task that is not built in, of a run that names tasks of its own."""
    return TaskError(f"The task {name!r} is not built in.", where=located.name, fix=hint)


def _only_task(located: LocatedModel, tasks: Mapping[str, Task]) -> str:
    if len(located.tasks) == 1:
        return located.tasks[0]
    raise TaskError(
        "The model knows several tasks, so say which.",
        where="--task",
        fix=f"One of: {', '.join(located.tasks or tasks)}.",
    )
