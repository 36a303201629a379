"""Rendering: a record becomes prompt ids and completion ids, through the tokenizer's own chat template.

The split is exact: the prompt is the template's text up to and including the assistant header, the completion is the
answer and the end-of-turn token, and the two are tokenized apart, so the prompt at inference is the prompt in training
token for token. The end of turn is supervised: a model that never saw it never stops. What the template writes after
the last end of turn (a line break) is dropped, for no model has to say it.

A sample longer than `max_length` has its learner's text shortened, never its instruction or its answer. Special tokens
that stand in a text are broken up, so that no text can end a turn. Cost: some 0.15 ms a sample, mostly the template.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
from jinja2 import TemplateError

from lexitrain.errors import DataError, InputError, ModelError
from lexitrain.records import is_learnt
from lexitrain.samples.sample import Ids, Sample
from lexitrain.tasks import OWN_TASK, unknown_task

if TYPE_CHECKING:
    from lexitrain.records import Record
    from lexitrain.tasks import Message, Task

_BATCH = 1000  # samples tokenized in one call


@dataclass(frozen=True, slots=True)
class _Text:
    """A record as text: the prompt, then the completion in pieces, each with whether it is supervised."""

    prompt: str
    completion: tuple[tuple[str, bool], ...]


class Renderer:
    """Renders records for one tokenizer.

    Attributes:
        stop_ids: the tokens at which an answer ends.

    Args:
        tokenizer: a fast tokenizer of transformers with a chat template.
        registry: tasks by short name.
        max_length: tokens a sample may have, prompt and completion together.

    Raises:
        ModelError: the tokenizer has no chat template, no pad token of its own, or no end-of-turn token.
    """

    def __init__(self, tokenizer: Any, registry: Mapping[str, Task], max_length: int) -> None:
        self.tokenizer = tokenizer
        self.registry = registry
        self.max_length = max_length
        self._special = [
            str(token) for token in tokenizer.added_tokens_decoder.values() if token.special
        ]
        self._special_pattern = re.compile("|".join(map(re.escape, self._special)) or r"(?!)")
        name = tokenizer.name_or_path or type(tokenizer).__name__
        if not tokenizer.chat_template:
            raise ModelError(
                "The tokenizer has no chat template.",
                where=name,
                fix="Take an instruct model, or add chat_template to tokenizer_config.json.",
            )
        self.end_of_turn = self._find_end_of_turn(name)
        self.end_of_turn_id: int = tokenizer.convert_tokens_to_ids(self.end_of_turn)
        if tokenizer.pad_token_id in (None, self.end_of_turn_id, tokenizer.eos_token_id):
            raise ModelError(
                f"The pad token ({tokenizer.pad_token}) must be a token of its own: where it also "
                "ends a turn, a model that ignores padding never learns to stop.",
                where=name,
                fix="Set pad_token in tokenizer_config.json to a token that occurs nowhere else.",
            )
        self.stop_ids: frozenset[int] = frozenset(
            token
            for token in (self.end_of_turn_id, tokenizer.eos_token_id)
            if token is not None and token != tokenizer.pad_token_id
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
        pieces: list[tuple[str, bool]] = []
        prompt, done = "", ""
        for end, turn in enumerate(turns):
            if turn["role"] != "assistant":
                continue
            header = self._template(turns[:end], add_generation_prompt=True)
            full = self._template(turns[: end + 1])
            if not (header.startswith(done) and full.startswith(header)):
                raise ModelError(
                    "The chat template changes earlier turns when a turn is added, so an answer "
                    "cannot be told from its prompt.",
                    where=self.tokenizer.name_or_path,
                )
            if prompt:
                pieces.append((header[len(done) :], False))
            else:
                prompt = header
            done = header + self._answer_text(full[len(header) :])
            pieces.append((done[len(header) :], is_learnt(given[end])))
        return _Text(prompt, tuple(pieces))

    def _answer_text(self, written: str) -> str:
        """The answer with its end of turn, without what the template writes after it."""
        return written[: written.rindex(self.end_of_turn) + len(self.end_of_turn)]

    def _prompt(self, task: Task, record: Record) -> str:
        turns = self._clean(task.prompt_messages(record))
        return self._template(turns, add_generation_prompt=True)

    def _template(self, turns: Sequence[Message], *, add_generation_prompt: bool = False) -> str:
        try:
            return self.tokenizer.apply_chat_template(
                list(turns), tokenize=False, add_generation_prompt=add_generation_prompt
            )
        except TemplateError as error:
            raise DataError(
                f"The chat template refuses this conversation ({error}): its turns are "
                f"{', '.join(turn['role'] for turn in turns)}.",
            ) from None

    def _clean(self, turns: Sequence[Message]) -> list[Message]:
        return [{"role": turn["role"], "content": self._plain(turn["content"])} for turn in turns]

    def _plain(self, text: str) -> str:
        return self._special_pattern.sub(lambda found: f"{found[0][0]} {found[0][1:]}", text)

    def _find_end_of_turn(self, name: str) -> str:
        probe = [{"role": "user", "content": "a"}, {"role": "assistant", "content": "#answer#"}]
        after = self._template(probe).rpartition("#answer#")[2].lstrip()
        found = [token for token in self._special if after.startswith(token)]
        if not found:
            raise ModelError(
                "The chat template ends an answer with no special token, so a model cannot learn "
                "where to stop.",
                where=name,
                fix="Take a model whose template ends each turn, such as Qwen2.5's <|im_end|>.",
            )
        return max(found, key=len)

    # Ids

    def _encode(self, texts: list[str]) -> list[list[int]]:
        if not texts:
            return []
        return self.tokenizer(texts, add_special_tokens=False)["input_ids"]

    def _tokenize(self, texts: Sequence[_Text]) -> list[list[list[int]]]:
        """The ids of each text's pieces: the prompt, then the completion's."""
        flat = [part for text in texts for part in (text.prompt, *(p for p, _ in text.completion))]
        ids = iter(self._encode(flat))
        return [[next(ids) for _ in range(1 + len(text.completion))] for text in texts]

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
