"""Rendering: a record becomes prompt ids and completion ids, through the tokenizer's own chat template.

The split is exact: the prompt is the template's text up to the answer (`chat_template.py`), the completion is the
answer and the end-of-turn token. A sample is tokenized as a whole and divided where the two meet; where tokens would
reach across, both are tokenized apart. Either way the prompt at inference is the prompt in training token for token.
The end of turn is supervised: a model that never saw it never stops. What the template writes after the last end of
turn (a line break) is dropped, for no model has to say it.

A sample longer than `max_length` has its learner's text shortened, never its instruction or its answer. Special tokens
that stand in a text are broken up, so that no text can end a turn. Cost: some 0.15 ms a sample, mostly the template.
"""

from __future__ import annotations

import re
from bisect import bisect_right
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from datetime import date
from itertools import pairwise
from typing import TYPE_CHECKING, Any

import numpy as np

from lexitrain.errors import DataError, InputError, ModelError
from lexitrain.records import is_learnt
from lexitrain.samples.chat_template import ChatTemplate
from lexitrain.samples.sample import Ids, Sample
from lexitrain.tasks import OWN_TASK, unknown_task

if TYPE_CHECKING:
    from lexitrain.records import Record
    from lexitrain.tasks import Message, Task

_BATCH = 1000  # samples tokenized in one call
_TAILS = 10_000  # ends of prompts whose tokens are remembered


@dataclass(frozen=True, slots=True)
class _Text:
    """A record as text: the prompt, then the completion in pieces, each with whether it is supervised."""

    prompt: str
    completion: tuple[tuple[str, bool], ...]


class Renderer:
    """Renders records for one tokenizer.

    Attributes:
        stop_ids: the tokens at which an answer ends.
        template: the tokenizer's chat template.

    Args:
        tokenizer: a fast tokenizer of transformers with a chat template.
        registry: tasks by short name.
        max_length: tokens a sample may have, prompt and completion together.
        day: the date that a dated chat template writes; today where not given.

    Raises:
        ModelError: the tokenizer is a slow one, has no chat template that answers can be learnt with, no pad token of
            its own, or does not write what it has read.
    """

    def __init__(
        self,
        tokenizer: Any,
        registry: Mapping[str, Task],
        max_length: int,
        *,
        day: date | None = None,
    ) -> None:
        self.tokenizer = tokenizer
        self.registry = registry
        self.max_length = max_length
        self._special = [
            str(token) for token in tokenizer.added_tokens_decoder.values() if token.special
        ]
        self._special_pattern = re.compile("|".join(map(re.escape, self._special)) or r"(?!)")
        name = tokenizer.name_or_path or type(tokenizer).__name__
        if not tokenizer.is_fast:
            raise ModelError(
                "The tokenizer does not say where in the text its tokens stand (it is a slow one).",
                where=name,
                fix="Save it as a fast one: its folder then holds tokenizer.json.",
            )
        self.template = ChatTemplate(tokenizer, day or date.today())
        self.end_of_turn = self.template.end_of_turn
        self._tails: dict[str, list[int]] = {}
        self.end_of_turn_id: int = tokenizer.convert_tokens_to_ids(self.end_of_turn)
        if tokenizer.pad_token_id in (None, self.end_of_turn_id):
            raise ModelError(
                f"The pad token ({tokenizer.pad_token}) must not be the one that ends a turn ({self.end_of_turn}): "
                "programs that leave padding out of the loss would never teach a model to stop.",
                where=name,
                fix="Set pad_token in tokenizer_config.json to another special token.",
            )
        self.stop_ids: frozenset[int] = frozenset(
            token for token in (self.end_of_turn_id, tokenizer.eos_token_id) if token is not None
        )
        self._require_what_was_read(name)

    def _require_what_was_read(self, name: str) -> None:
        """Nothing, when the tokens of an answer say the answer and end the turn."""
        question = [{"role": "user", "content": "He go to school."}]
        for answer in ('{"corrected":"He goes to school.","errors":[]}', "Yes, it is right now."):
            turns = [*question, {"role": "assistant", "content": answer}]
            header = self.template.before_answer(question)
            written = self.template.with_answer(turns)[len(header) :]
            _, (*ids, end) = self._tokenize([_Text(header, ((written, True),))])[0]
            said = self.tokenizer.decode(ids, clean_up_tokenization_spaces=False)
            if said.strip() != answer or end != self.end_of_turn_id:
                raise ModelError(
                    f"The tokenizer does not write what it has read: {said!r} where {answer!r} was the answer.",
                    where=name,
                    fix="Use a base whose tokenizer keeps capitals, spaces and punctuation.",
                )

    def render(self, record: Record, index: int = 0) -> Sample:
        """The sample of a record with its answer.

        Raises:
            TaskError: there is no such task, or the answer is none of its schema's.
            DataError: instruction and answer alone exceed `max_length`.
            ModelError: the chat template does not let an answer be told from its prompt.
        """
        return self.render_all([record], first_index=index)[0]

    def render_all(
        self,
        records: Sequence[Record],
        *,
        first_index: int = 0,
        on_unfit: Callable[[int, str], None] | None = None,
    ) -> list[Sample]:
        """The samples of many records, tokenized in batches.

        Args:
            first_index: row of the first record.
            on_unfit: called with the row and the reason of a record that cannot be rendered, which is then left out.
                Without it such a record is an error.

        Raises:
            InputError: see `render`; which of its children depends on the record.
        """
        samples: list[Sample] = []
        for start in range(0, len(records), _BATCH):
            rows: list[tuple[int, Record, _Text]] = []
            for offset, record in enumerate(records[start : start + _BATCH]):
                index = first_index + start + offset
                try:
                    rows.append((index, record, self._text(record)))
                except InputError as error:
                    _refuse(error, index, on_unfit)
            pieces = self._tokenize([text for _, _, text in rows])
            for (index, record, text), ids in zip(rows, pieces, strict=True):
                try:
                    samples.append(self._fit(record, index, text, ids))
                except InputError as error:
                    _refuse(error, index, on_unfit)
        return samples

    def prompt_ids(self, record: Record) -> Ids:
        """The prompt of a record, with or without an answer: int32 [P], the same ids as in training.

        Its learner's text is shortened where the prompt alone would exceed `max_length`.
        """
        task = self.task(record)
        cut, length = record, 0
        for _ in range(8):
            ids = self._encode([self._prompt(task, cut)])[0]
            length = len(ids)
            if length < self.max_length:
                return np.array(ids, dtype=np.int32)
            cut = self._shorten(task, cut, length - self.max_length + 1)
        raise self._too_long(length)

    def task(self, record: Record) -> Task:
        """The record's task.

        Raises:
            TaskError: there is no such task.
        """
        try:
            return self.registry[record.task]
        except KeyError:
            raise unknown_task(record.task, self.registry, fix=OWN_TASK) from None

    # Text

    def _text(self, record: Record) -> _Text:
        task = self.task(record)
        if record.messages is not None and (reason := task.check(record)):
            raise DataError(f"The record is no {task.short} conversation: {reason}.")
        given = task.messages(record)
        turns = self._clean(given)
        answers = [place for place, turn in enumerate(turns) if turn["role"] == "assistant"]
        if not self.template.keeps_answers:
            answers = answers[-1:]
        pieces: list[tuple[str, bool]] = []
        prompt, done = "", ""
        for place in answers:
            header = self.template.before_answer(turns[:place])
            full = self.template.with_answer(turns[: place + 1])
            answer = full[len(header) :]
            kept = answer[: -len(self.end_of_turn)].strip() == turns[place]["content"].strip()
            if not (kept and header.startswith(done) and full.startswith(header)):
                raise DataError(
                    "The chat template changes earlier turns of this conversation when a turn is added, or the answer "
                    "itself, so that it cannot be told from its prompt."
                )
            if prompt:
                pieces.append((header[len(done) :], False))
            else:
                prompt = header
            done = full
            pieces.append((answer, is_learnt(given[place])))
        return _Text(prompt, tuple(pieces))

    def _prompt(self, task: Task, record: Record) -> str:
        return self.template.before_answer(self._clean(task.prompt_messages(record)))

    def _clean(self, turns: Sequence[Message]) -> list[Message]:
        return [{"role": turn["role"], "content": self._plain(turn["content"])} for turn in turns]

    def _plain(self, text: str) -> str:
        return self._special_pattern.sub(lambda found: f"{found[0][0]} {found[0][1:]}", text)

    # Ids

    def _encode(self, texts: list[str]) -> list[list[int]]:
        if not texts:
            return []
        return self.tokenizer(texts, add_special_tokens=False)["input_ids"]

    def _tokenize(self, texts: Sequence[_Text]) -> list[list[list[int]]]:
        """The ids of each text's pieces: the prompt, then the completion's.

        Each text is tokenized as a whole, as any other program would, and divided where its pieces meet.
        """
        if not texts:
            return []
        wholes = [text.prompt + "".join(part for part, _ in text.completion) for text in texts]
        found = self.tokenizer(wholes, add_special_tokens=False, return_offsets_mapping=True)
        return [
            self._divided(text, whole, ids, offsets)
            for text, whole, ids, offsets in zip(
                texts, wholes, found["input_ids"], found["offset_mapping"], strict=True
            )
        ]

    def _divided(
        self, text: _Text, whole: str, ids: list[int], offsets: list[tuple[int, int]]
    ) -> list[list[int]]:
        """The ids of a whole text, at the borders of its pieces; where tokens reach across one, those of the pieces."""
        ends = [end for _, end in offsets]
        borders: list[int] = [0]
        place = len(text.prompt)
        for part, _ in text.completion:
            border = bisect_right(ends, place)
            if not self._stands_alone(whole[:place], ids[:border]):
                return self._apart(text)
            borders.append(border)
            place += len(part)
        borders.append(len(ids))
        return [ids[start:end] for start, end in pairwise(borders)]

    def _stands_alone(self, before: str, ids: list[int]) -> bool:
        """Whether the text before a border has these tokens also when nothing follows it.

        Tokens never reach across a special one, so that what follows the last of them decides.
        """
        last = max((before.rfind(token) for token in self._special), default=-1)
        tail = before[max(last, 0) :]
        if tail not in self._tails:
            if len(self._tails) > _TAILS:
                self._tails.clear()
            self._tails[tail] = self._encode([tail])[0]
        alone = self._tails[tail]
        return ids[len(ids) - len(alone) :] == alone

    def _apart(self, text: _Text) -> list[list[int]]:
        """The ids of each piece by itself, which the prompt of a question has too."""
        return self._encode([text.prompt, *(part for part, _ in text.completion)])

    def _fit(self, record: Record, index: int, text: _Text, ids: list[list[int]]) -> Sample:
        task, cut = self.task(record), record
        for _ in range(8):  # tokens merge across a cut, so the first guess may leave a few too many
            excess = sum(map(len, ids)) - self.max_length
            if excess <= 0:
                return _sample(record, index, text, ids, truncated=cut is not record)
            cut = self._shorten(task, cut, excess)
            text = self._text(cut)
            ids = self._tokenize([text])[0]
        raise self._too_long(sum(map(len, ids)))

    def _shorten(self, task: Task, record: Record, excess: int) -> Record:
        """The record with some `excess` tokens less of learner's text."""
        whole = task.learner_text(record)
        spans = self.tokenizer([whole], add_special_tokens=False, return_offsets_mapping=True)
        offsets: list[tuple[int, int]] = spans["offset_mapping"][0]
        keep = len(offsets) - excess
        if keep < 1:
            raise self._too_long(self.max_length + 1 - keep)
        # A character may take several tokens; one that is cut in two goes as a whole.
        if record.messages is not None or task.truncate == "end":
            part = whole[: min(offsets[keep - 1][1], offsets[keep][0])].rstrip()
        else:
            part = _whole_lines(whole, max(offsets[-keep][0], offsets[-keep - 1][1]))
        if not part or part == whole:
            raise self._too_long(self.max_length + excess)
        return task.with_learner_text(record, part)

    def _too_long(self, tokens: int) -> DataError:
        return DataError(
            f"Without the learner's text the sample still has more than {self.max_length} tokens "
            f"(about {tokens}).",
            fix="Raise data.max_length.",
        )


def _whole_lines(text: str, start: int) -> str:
    """`text` from `start` on, or from the next line where `start` is inside one that others follow."""
    part = text[start:]
    if not text[:start].endswith("\n") and "\n" in part:
        part = part[part.index("\n") :]
    return part.lstrip()


def _sample(
    record: Record, index: int, text: _Text, ids: list[list[int]], *, truncated: bool
) -> Sample:
    prompt, *pieces = ids
    supervised = [
        np.full(len(piece), target)
        for piece, (_, target) in zip(pieces, text.completion, strict=True)
    ]
    return Sample(
        prompt_ids=np.array(prompt, dtype=np.int32),
        completion_ids=np.array([token for piece in pieces for token in piece], dtype=np.int32),
        supervised=np.concatenate(supervised).astype(np.bool_),
        task=record.task,
        index=index,
        truncated=truncated,
    )


def _refuse(error: InputError, index: int, on_unfit: Callable[[int, str], None] | None) -> None:
    if on_unfit is None:
        raise error
    on_unfit(index, error.what)
