"""Rendering: a record becomes prompt ids and completion ids, through the tokenizer's own chat template.

The split is exact: the prompt is the template's text up to where the answer begins (`chat_template.py`), the completion
is the answer and the end-of-turn token, and the border between them is one between tokens (`token_pieces.py`), so the
prompt at inference is the prompt in training token for token. The end of turn is supervised: a model that never saw it
never stops.

A conversation is one sample where the template only adds to what it wrote. Where it writes earlier turns otherwise once
others follow (it strips their thoughts, or ends only the last one), or where its tokens are then others, each answer is
learnt behind what inference has before it: the record gives several samples, which the layout `tree` computes once as
far as they are alike.

A sample longer than `max_length` has its learner's text shortened, never its instruction or its answer. Special tokens
that stand in a text are broken up, so that no text can end a turn. Cost: some 0.15 ms a sample, mostly the template.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from datetime import date
from itertools import chain
from typing import TYPE_CHECKING, Any

import numpy as np

from lexitrain.errors import DataError, InputError, ModelError
from lexitrain.records import is_learnt
from lexitrain.samples.chat_template import ChatTemplate, Refused
from lexitrain.samples.sample import Ids, Sample
from lexitrain.samples.token_pieces import TokenPieces
from lexitrain.tasks import OWN_TASK, unknown_task

if TYPE_CHECKING:
    from lexitrain.records import Record
    from lexitrain.samples.token_pieces import Pieces
    from lexitrain.tasks import Message, Task

_BATCH = 1000  # samples tokenized in one call


Refusal = Callable[[int, str], None]
"""Told the row of a record that is left out, and why."""


@dataclass(frozen=True, slots=True)
class _Text:
    """A sample as text: the prompt, then the completion in pieces, each with whether it is supervised."""

    prompt: str
    completion: tuple[tuple[str, bool], ...]

    @property
    def pieces(self) -> list[str]:
        """Prompt, answer, what stands between, answer, and so on."""
        return [self.prompt, *(piece for piece, _ in self.completion)]

    @property
    def later_answers(self) -> list[int]:
        """Places in `pieces` of the learnt answers behind the first answer."""
        return [at for at in range(3, len(self.completion) + 1, 2) if self.completion[at - 1][1]]

    def cut(self, at: int) -> list[_Text]:
        """Two samples, the second one beginning with the prompt of `pieces[at]`; none that learns nothing."""
        head = _Text(self.prompt, self.completion[: at - 2])
        tail = _Text("".join(self.pieces[:at]), self.completion[at - 1 :])
        return [text for text in (head, tail) if text.learns]

    @property
    def learns(self) -> bool:
        """Whether any of it is supervised."""
        return any(learnt for _, learnt in self.completion)


_Split = tuple[_Text, "Pieces | None"]
"""A sample's text and the ids of its pieces; None where the tokenizer does not let them be told apart."""


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
        name = tokenizer.name_or_path or type(tokenizer).__name__
        if not tokenizer.is_fast:
            raise ModelError(
                "The tokenizer does not say where in the text its tokens stand (it is a slow one).",
                where=name,
                fix="Save it as a fast one: its folder then holds tokenizer.json.",
            )
        self.template = ChatTemplate(tokenizer, day or date.today())
        self.end_of_turn = self.template.end_of_turn
        special = {str(token) for token in tokenizer.added_tokens_decoder.values() if token.special}
        longest_first = sorted({*special, self.end_of_turn}, key=lambda each: (-len(each), each))
        self._special_pattern = re.compile("|".join(map(re.escape, longest_first)))
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
        self._pieces = TokenPieces(tokenizer, self.template.ends)

    def render(self, record: Record, index: int = 0) -> Sample:
        """The sample of a record with its answer; of a conversation that gives several the last one.

        Raises:
            TaskError: there is no such task, or the answer is none of its schema's.
            DataError: instruction and answer alone exceed `max_length`, or template or tokenizer refuse the record.
        """
        return self.render_parts(record, index)[-1]

    def render_parts(self, record: Record, index: int = 0) -> list[Sample]:
        """The samples of one record, in the order of their answers. Raises as `render`."""
        return self.render_all([record], first_index=index)

    def render_all(
        self,
        records: Sequence[Record],
        *,
        first_index: int = 0,
        on_unfit: Refusal | None = None,
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
            rows: list[tuple[int, Record, list[_Text]]] = []
            for offset, record in enumerate(records[start : start + _BATCH]):
                index = first_index + start + offset
                try:
                    rows.append((index, record, self._texts(record)))
                except InputError as error:
                    _refuse(error, index, on_unfit)
            split = iter(self._split([text for _, _, texts in rows for text in texts]))
            for index, record, texts in rows:
                parts = [part for _ in texts for part in next(split)]
                try:
                    samples += self._fit(record, index, parts)
                except InputError as error:
                    _refuse(error, index, on_unfit)
        return samples

    def prompt_ids(self, record: Record) -> Ids:
        """The prompt of a record, with or without an answer: int32 [P], the same ids as in training.

        Its learner's text is shortened where the prompt alone would exceed `max_length`.
        """
        return self.prompt(record)[0]

    def prompt(self, record: Record) -> tuple[Ids, bool]:
        """The same as `prompt_ids`, and whether the learner's text was shortened."""
        task = self.task(record)
        cut, length = record, 0
        for _ in range(8):
            ids = self._pieces.encode([self._prompt(task, cut)])[0]
            length = len(ids)
            if length < self.max_length:
                return np.array(ids, dtype=np.int32), cut is not record
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

    def _texts(self, record: Record) -> list[_Text]:
        """The samples of a record as text, each with an answer that is learnt."""
        task = self.task(record)
        if record.messages is not None and (reason := task.check(record)):
            raise DataError(f"The record is no {task.short} conversation: {reason}.")
        given = task.messages(record)
        turns = self._clean(given)
        texts: list[_Text] = []
        first, done = "", ""
        pieces: list[tuple[str, bool]] = []
        for end, turn in enumerate(turns):
            if turn["role"] != "assistant":
                continue
            prompt, answer = self.template.answered(turns[: end + 1])
            if not pieces or not prompt.startswith(done):
                texts.append(_Text(first, tuple(pieces)))
                first, pieces = prompt, []
            else:
                pieces.append((prompt[len(done) :], False))
            done = prompt + answer
            pieces.append((answer, is_learnt(given[end])))
        texts.append(_Text(first, tuple(pieces)))
        return [text for text in texts if text.learns]

    def _prompt(self, task: Task, record: Record) -> str:
        return self.template.prompt(self._clean(task.prompt_messages(record)))

    def _clean(self, turns: Sequence[Message]) -> list[Message]:
        return [{"role": turn["role"], "content": self._plain(turn["content"])} for turn in turns]

    def _plain(self, text: str) -> str:
        return self._special_pattern.sub(lambda found: f"{found[0][0]} {found[0][1:]}", text)

    # Ids

    def _split(self, texts: Sequence[_Text]) -> list[list[_Split]]:
        """Each text with its pieces' ids; in two or more where a later prompt alone would have other ids than in it."""
        found = self._pieces.split([text.pieces for text in texts])
        later = [(number, at) for number, text in enumerate(texts) for at in text.later_answers]
        prompts = self._pieces.encode(["".join(texts[n].pieces[:at]) for n, at in later])
        cuts: dict[int, int] = {}
        for (number, at), alone in zip(later, prompts, strict=True):
            ids = found[number]
            if number in cuts or (ids is not None and list(chain(*ids[:at])) == alone):
                continue
            cuts[number] = at
        parts: list[list[_Split]] = []
        for number, (text, ids) in enumerate(zip(texts, found, strict=True)):
            again = self._split(text.cut(cuts[number])) if number in cuts else [[(text, ids)]]
            parts.append(list(chain(*again)))
        return parts

    def _fit(self, record: Record, index: int, parts: Sequence[_Split]) -> list[Sample]:
        task, cut, tokens = self.task(record), record, 0
        for _ in range(8):  # tokens merge across a cut, so the first guess may leave a few too many
            split = [(text, self._checked(text, ids)) for text, ids in parts]
            tokens = max(sum(map(len, ids)) for _, ids in split)
            if tokens <= self.max_length:
                short = cut is not record
                return [_sample(record, index, text, ids, truncated=short) for text, ids in split]
            cut = self._shorten(task, cut, tokens - self.max_length)
            parts = list(chain(*self._split(self._texts(cut))))
        raise self._too_long(tokens)

    def _checked(self, text: _Text, ids: Pieces | None) -> Pieces:
        if ids is None:
            raise Refused("The tokenizer has tokens across the border of prompt and answer.")
        for (piece, learnt), each in zip(text.completion, ids[1:], strict=True):
            if learnt and (reason := self._pieces.spoilt(each, piece)):
                raise Refused(f"{reason}.")
        return ids

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


def _refuse(error: InputError, index: int, on_unfit: Refusal | None) -> None:
    if on_unfit is None:
        raise error
    on_unfit(index, error.what)
