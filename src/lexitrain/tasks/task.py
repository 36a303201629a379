"""What a task is: its prompt, its answer's schema, its scores, its trivial predictor.

A sixth task is one new file with a subclass of `Task`:

    from lexitrain.tasks import Task, chrf, mean, texts

    class Paraphrase(Task):
        name = "paraphrase"                # in the prompt
        short = "paraphrase"               # in the records
        schema = {"type": "object", "properties": {"paraphrase": {"type": "string", "minLength": 1}}}

        def statistics(self, records, answers):
            references = [[answer["paraphrase"]] for answer in self.references(records)]
            return {"chrf": mean(chrf(texts(answers, "paraphrase"), references))}

        def trivial(self, train_records):
            return lambda record: {"paraphrase": record.input}

named in a recipe's `data.custom_tasks` as `path.py` or `module:attribute`, or installed under the entry point group
`lexitrain.tasks`. Nothing here imports a model library.
"""

from __future__ import annotations

import json
import re
from abc import ABC, abstractmethod
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from functools import cached_property
from math import isfinite
from typing import TYPE_CHECKING, Any, ClassVar, Literal, cast

from lexitrain.errors import DataError
from lexitrain.recipe import NO_SYSTEM
from lexitrain.records import is_learnt, normalize_text
from lexitrain.tasks.learner_text import (
    Asked,
    before_last_answer,
    conversation_excerpts,
    peeled,
    prompt_mark,
)
from lexitrain.tasks.metrics.bootstrap import Statistic, point
from lexitrain.tasks.schema import Schema, loads_strict, problem, project, unknown_keys

if TYPE_CHECKING:
    from lexitrain.records import Record
    from lexitrain.tasks.metrics.agreement import Confusion

SYSTEM_PROMPT = (
    "You are LexiLingo's unified English tutor model. Follow the task instruction and respond "
    "ONLY with valid JSON (no extra text)."
)

_LIKE_JSON = re.compile(r'\{\s*(?:\}|"[^"]*"\s*:)')
"""The beginning of a JSON object; a text that merely begins with a bracket is text."""
# One encoder for all answers: `json.dumps` with options builds a new one at every call.
_SORTED = json.JSONEncoder(sort_keys=True)

Answer = dict[str, Any]
Message = dict[str, Any]
"""A turn: `role`, `content`, and `weight: 0` where it is an answer that is not learnt."""
Targets = Mapping[str, tuple[Literal["<", ">"], float]]
Predictor = Callable[["Record"], Answer]


class Task(ABC):
    """One thing the tutor model does, with all that training and scoring need to know of it."""

    name: ClassVar[str]
    """How the prompt calls the task."""
    short: ClassVar[str]
    """How records call the task."""
    schema: ClassVar[Schema]
    """JSON Schema of the answer; the order of its properties is the order in the answer."""
    maximum_answer_tokens: ClassVar[int] = 256
    """Generation stops here when the model does not stop by itself."""
    targets: ClassVar[Targets] = {}
    """Score name to the side and the value it should reach."""
    scored_by: ClassVar[Mapping[str, tuple[str, ...]]] = {}
    """Field of the answer to the scores that are about it."""
    english: ClassVar[bool] = False
    """Whether learners' texts are to be English; advice on data counts those that are not."""
    answer_language: ClassVar[Mapping[str, Callable[[str], bool]]] = {}
    """Field of the answer to what tells whether it is in the language that it should be in."""
    score_names: ClassVar[frozenset[str]] = frozenset()
    """All that `statistics` can give; empty: not known before records are scored."""
    lower_is_better: ClassVar[frozenset[str]] = frozenset()
    """Names of the scores where less is better."""
    neither_is_better: ClassVar[frozenset[str]] = frozenset()
    """Names of the scores that are no better higher or lower, such as a bias: no predictor beats another in them."""
    scores_of_some: ClassVar[frozenset[str]] = frozenset()
    """Names of the scores that `statistics` gives only where records have what they are about."""
    primary: ClassVar[str] = ""
    """Name of the score by which models are told better or worse; empty: the first one."""
    truncate: ClassVar[Literal["end", "beginning"]] = "end"
    """Which side of the learner's text is cut when a sample is too long."""
    system: ClassVar[str] = SYSTEM_PROMPT
    """The system turn of every prompt that the task writes, and of conversations that have none of their own."""
    conversation_system: str | None = None
    """The recipe's `data.system`: text for conversations without a system turn, `none` for no system turn there. Empty:
    `system`."""

    # The prompt

    def user_turn(self, record: Record) -> str:
        """The user's message: the task's name, then the learner's text."""
        return f"Task: {self.name}\nText: {record.input}"

    def prompt_messages(self, record: Record) -> list[Message]:
        """The messages before the answer: system, user. Of a conversation: all before its last learnt answer."""
        if record.messages is not None:
            turns = self._conversation(record.messages)
            return turns[:-1] if turns[-1]["role"] == "assistant" else turns
        return [
            {"role": "system", "content": self.system},
            {"role": "user", "content": self.user_turn(record)},
        ]

    def messages(self, record: Record) -> list[Message]:
        """The whole training conversation, ending with an answer."""
        if record.messages is not None:
            return self._conversation(record.messages)
        return [
            *self.prompt_messages(record),
            {"role": "assistant", "content": self.answer(record)},
        ]

    def _conversation(self, messages: Sequence[Message]) -> list[Message]:
        turns = list(messages)
        answers = [i for i, turn in enumerate(turns) if is_learnt(turn)]
        system = self.system if self.conversation_system is None else self.conversation_system
        without = turns[0]["role"] == "system" or system == NO_SYSTEM
        head = [] if without else [{"role": "system", "content": system}]
        # What stands after the last learnt answer teaches nothing; a question that nothing answers yet is to be asked.
        return head + (turns[: answers[-1] + 1] if answers else turns)

    def learner_text(self, record: Record) -> str:
        """The text that may be cut when the sample is too long: of a conversation its longest question."""
        if record.messages is not None:
            asked = (m["content"] for m in record.messages if m["role"] == "user")
            return max(asked, key=len, default="")
        return record.input

    def with_learner_text(self, record: Record, text: str) -> Record:
        """The record with its learner's text replaced by `text`, a part of it."""
        if record.messages is None:
            return replace(record, input=text)
        whole, turns = self.learner_text(record), [dict(turn) for turn in record.messages]
        turn = next(t for t in turns if t["role"] == "user" and t["content"] == whole)
        turn["content"] = text
        return replace(record, messages=tuple(turns))

    def asked(self, record: Record) -> Asked:
        """All that the prompt shows of a record, and the learner's words in it: what duplicates, groups and splits are
        told by, in whatever form the record came."""
        if record.messages is None:
            return Asked(self.user_turn(record), self.learner_text(record))
        return self._asked_in(record, before_last_answer(record.messages))

    def _asked_in(self, record: Record, turns: Sequence[Mapping[str, str]]) -> Asked:
        """Args: turns: those that the model sees before the last answer."""
        own_prompt = self._own_prompt(record)
        questions = [turn["content"] for turn in turns if turn["role"] == "user"]
        texts = [peeled(question, own_prompt) for question in questions]
        said = "\n".join(
            question if text is None else text
            for question, text in zip(questions, texts, strict=True)
        )
        # The task's own system turn is what a conversation without one is given.
        shown = [turn for turn in turns if turn["content"].strip() != self.system.strip()]
        beside = "\0".join(
            f"{turn['role']}\0{turn['content']}" for turn in shown if turn["role"] != "user"
        )
        prompt = "\n".join(
            f"\0{turn['content']}" if turn["role"] == "assistant" else turn["content"]
            for turn in shown
        )
        if not beside and len(texts) == 1 and texts[0] is not None:
            return Asked(normalize_text(prompt), said)
        return Asked(prompt, said, beside, conversation_excerpts(turns, questions, texts))

    def _own_prompt(self, record: Record) -> str:
        """What this task would write around a learner's text."""
        try:
            return self.user_turn(replace(record, input=prompt_mark(), messages=None))
        except Exception:  # a task of the user's own may need metadata that a conversation lacks
            return ""

    def learnt(self, record: Record, *, lacking: bool) -> str:
        """What is learnt of a record, the same for equal answers in whatever form: what tells duplicates with another
        answer.

        Args:
            lacking: whether `lacking` names any key of it.
        """
        if record.messages is not None:
            turns = [turn for turn in record.messages if turn["role"] == "assistant"]
            learnt = [is_learnt(turn) for turn in turns]
            if not any(learnt):
                return ""
            last = len(learnt) - 1 - learnt[::-1].index(True)
            text = turns[last]["content"].strip()
            parsed = self.parse(text) if text.startswith("{") else None
            answer = text if parsed is None else _SORTED.encode(parsed)
            # Earlier answers are the same where the prompt is; whether they are learnt may differ.
            return answer if all(learnt[:last]) else f"{learnt[:last]}\0{answer}"
        output = record.output
        if lacking or isinstance(output, str):
            output = self._output(output)
        return _SORTED.encode(output)

    def lacking(self, record: Record) -> tuple[str, ...]:
        """The accompanying keys (those with a default) that an output leaves out: the model is taught their empty
        value."""
        if record.messages is not None:
            return ()
        output = record.output
        if output is None or isinstance(output, str):
            return self._accompanying
        return tuple(key for key in self._accompanying if key not in output)

    def unlearnt(self, record: Record) -> frozenset[str]:
        """Keys of a record's output that the schema does not know: they stay in the file and are not taught."""
        output = record.output
        if isinstance(output, str):
            text = output.strip()
            output = cast("Answer", loads_strict(text)) if _LIKE_JSON.match(text) else None
        return unknown_keys(output, self.schema)

    @cached_property
    def _accompanying(self) -> tuple[str, ...]:
        properties: Mapping[str, Schema] = self.schema["properties"]
        return tuple(key for key, inner in properties.items() if "default" in inner)

    def given(self, record: Record) -> frozenset[str]:  # noqa: ARG002
        """Fields of the answer that stand in the prompt already."""
        return frozenset()

    def completed(self, record: Record) -> Record:
        """The record with what of its answer follows from the rest; most tasks can derive nothing."""
        return record

    # The answer

    def answer(self, record: Record) -> str:
        """The completion: compact JSON, keys in schema order, the same bytes for the same output.

        Raises:
            DataError: the record's output is no valid answer.
        """
        if reason := self.check(record):
            raise DataError(f"The output is no answer to the task {self.short}: {reason}.")
        answer = self.reference(record)
        if answer is None:
            raise DataError(f"The conversation holds no JSON answer to the task {self.short}.")
        return self.format(answer)

    def format(self, answer: Mapping[str, Any]) -> str:
        """`answer` as the model is taught to write it."""
        ordered = project(dict(answer), self.schema)
        return json.dumps(ordered, ensure_ascii=False, separators=(",", ":"))

    def reference(self, record: Record) -> Answer | None:
        """The record's answer as an object; of a conversation its last learnt answer. None without a valid one."""
        if record.messages is not None:
            answers = [m["content"] for m in record.messages if is_learnt(m)]
            return self.parse(answers[-1]) if answers else None
        output = self._output(record.output)
        if isinstance(output, str) or problem(output, self.schema):
            return None
        return cast("Answer", output)

    def check(self, record: Record) -> str | None:
        """Why the record cannot be learnt from, or None.

        A missing accompanying key (one with a default in the schema) is filled with its empty value. A text output
        that does not start like a JSON object stands for the schema's first key. In a conversation, a learnt answer
        that starts like one must be a valid one; other answers are taken as they are.
        """
        if record.messages is not None:
            return self._conversation_problem(record.messages)
        if not record.input.strip():
            return "the input is empty"
        output = self._output(record.output)
        return output if isinstance(output, str) else problem(output, self.schema, "output")

    def _output(self, output: Answer | str | None) -> object:
        """The output as an object that the schema can be held against, or a reason (a str)."""
        if output is None:
            return "there is no output"
        if isinstance(output, str):
            text = output.strip()
            if not text:
                return "the output is empty"
            if _LIKE_JSON.match(text):
                try:
                    return project(loads_strict(text), self.schema)
                except ValueError as error:
                    return f"the output is no valid JSON ({error})"
            key, inner = next(iter(self.schema["properties"].items()))
            return project({key: _plain_value(text, inner)}, self.schema)
        return project(output, self.schema)

    def _conversation_problem(self, messages: Sequence[Message]) -> str | None:
        if not any(map(is_learnt, messages)):
            return "the conversation holds no answer to learn (no assistant turn, or all have weight 0)"
        answers = [turn for turn in messages if turn["role"] == "assistant"]
        for number, turn in enumerate(answers, 1):
            text = turn["content"].strip()
            if not text:
                return f"answer {number} of the conversation is empty"
            if is_learnt(turn) and _LIKE_JSON.match(text) and (reason := self.invalid(text)):
                return f"answer {number} of the conversation is not valid: {reason}"
        return None

    def parse(self, text: str) -> Answer | None:
        """The model's answer, or None when it is not JSON alone with exactly the schema's keys and types."""
        return None if self.invalid(text) else cast("Answer", loads_strict(text))

    def invalid(self, text: str) -> str | None:
        """Why `text` is no valid answer, or None."""
        try:
            value = loads_strict(text)
        except ValueError as error:
            return f"no JSON ({error})"
        return problem(value, self.schema)

    # The scores

    @abstractmethod
    def statistics(
        self, records: Sequence[Record], answers: Sequence[Answer | None]
    ) -> dict[str, Statistic]:
        """Score name to its statistic over the records. An invalid answer (None) counts as wrong.

        Pure and deterministic. Records all have a reference. A score that no record allows is left out, or not defined
        (NaN).
        """

    def details(
        self,
        records: Sequence[Record],  # noqa: ARG002
        answers: Sequence[Answer | None],  # noqa: ARG002
    ) -> dict[str, dict[str, Statistic]]:
        """Tables of scores of parts of the records: the table's name to the part's to its statistic."""
        return {}

    def confusion(
        self,
        records: Sequence[Record],  # noqa: ARG002
        answers: Sequence[Answer | None],  # noqa: ARG002
    ) -> Confusion | None:
        """How often each true class was answered as which; None of a task without classes."""
        return None

    def scores(
        self, records: Sequence[Record], answers: Sequence[Answer | None]
    ) -> dict[str, float | None]:
        """Score name to its value on these records; None where it is not defined."""
        values = {
            name: point(statistic, len(records))
            for name, statistic in self.statistics(records, answers).items()
        }
        return {name: value if isfinite(value) else None for name, value in values.items()}

    @abstractmethod
    def trivial(self, train_records: Sequence[Record]) -> Predictor:
        """A predictor that has learnt nothing but frequencies; what a model must beat.

        Raises:
            DataError: there is no record with a reference.
        """

    def references(self, records: Sequence[Record]) -> list[Answer]:
        """The reference of each record that has one.

        Raises:
            DataError: none has one.
        """
        found = [answer for record in records if (answer := self.reference(record)) is not None]
        if not found:
            raise DataError(f"No record of the task {self.short} holds a valid answer.")
        return found


def metadata_list(record: Record, key: str) -> list[object]:
    """The items of a list in the record's metadata; none where there is no list."""
    value: object = record.metadata.get(key)
    return cast("list[object]", value) if isinstance(value, list) else []


def _plain_value(text: str, schema: Schema) -> object:
    if schema["type"] != "number":
        return text
    try:
        return float(text)
    except ValueError:
        return text
