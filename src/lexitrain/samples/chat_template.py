"""A base's chat template, asked two things: the prompt before an answer, and the answer as it stands after it.

The prompt is what the template writes for inference, its generation prompt. Between that and an answer some templates
write more: the header, where they know no generation prompt, or an empty thought. No model has to say these, so they
are part of the prompt, in training and at inference alike. Blanks alone, as Llama 2 has them, are part of the answer:
SentencePiece has them in the answer's first token. Where a template has a switch against thoughts that makes both
agree, it is set. Where the generation prompt has other blanks, or a closed empty thought that written answers lack, the
answer is learnt behind the generation prompt. One that opens a thought is refused: the answer would stand inside it.

A template that has no system turn gets its text in front of the first user turn; `notes` says so. One that writes
today's date writes that of a given day. All this is found out once, by rendering a probe; nothing of it is trusted to
be the same for other turns: each answer has to be found in what the template writes. Some 60 microseconds a rendering.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any, cast

from jinja2 import TemplateSyntaxError

from lexitrain.errors import DataError, ModelError
from lexitrain.samples.template_date import date_in, with_date

if TYPE_CHECKING:
    from datetime import date

    from lexitrain.tasks import Message

_SYSTEM, _ASKED, _SAID = "#system#", "#question#", "#answer#"
_SWITCHES = ("enable_thinking", "thinking")
"""Names that templates give to their switch between answers with and without a thought."""
_BY_CHANCE = re.compile(r"\|\s*random\b|\blipsum\s*\(")
_LONGEST_REASON = 200
_CLOSED = re.compile(r"(</[^<>]+>|<[^<>|]+\|>)\s*$")
"""The end of a thought that is closed again."""
_AGREE, _MORE, _OTHERWISE, _UNLIKE, _OPENED = range(5)
"""How the generation prompt and a written answer's turn begin: alike; the turn with more; with other blanks or a closed
thought in the generation prompt; unlike each other; with a thought that the generation prompt opens."""


class Refused(DataError):
    """The chat template or the tokenizer refuses one record; others may be right."""


class ChatTemplate:
    """A tokenizer's chat template.

    Attributes:
        text: the template as the base has it.
        date: that it writes, such as 2026-11-28; "" where it writes none.
        dated: whether it writes one.
        end_of_turn: the token that ends an answer.
        ends: the end of turn as the template writes it: that token, or it and the end of text.
        notes: sentences on what is done otherwise than a reader of the data or the template would expect.

    Args:
        tokenizer: one of transformers'.
        day: the date that a dated template writes, unless it has one already.

    Raises:
        ModelError: there is no chat template, there are several without a default, it cannot be run, or nothing can be
            learnt right with it.
    """

    def __init__(self, tokenizer: Any, day: date) -> None:
        self.text = chosen_template(tokenizer)
        self._dated_text = with_date(self.text, day)
        self.date = date_in(self._dated_text)
        self.dated = bool(self.date)
        self._tokenizer = tokenizer
        self._name = str(tokenizer.name_or_path or type(tokenizer).__name__)
        self._in_parts = False
        self._without_system = False
        self._answering = "assistant"
        self._options: dict[str, bool] = {}
        self.notes: tuple[str, ...] = ()
        if _BY_CHANCE.search(self.text):
            raise self._unusable(
                "it writes something at random, so a prompt is never the same again"
            )
        probe = self._find_form()
        self._settle_system(probe)
        self._kind = self._settle_beginning(probe)
        self.end_of_turn, self.ends = self._find_ends(probe)

    def prompt(self, turns: Sequence[Message]) -> str:
        """All that stands before the next answer.

        Args:
            turns: those before the answer.

        Raises:
            Refused: the template refuses them.
        """
        header = self._render(turns, True)
        if self._kind == _MORE:
            before = self._before_answer(turns)
            if before.startswith(header):
                header = before.rstrip(" ")
        if not header:
            raise Refused("The chat template writes nothing before the answer.")
        return header

    def answered(self, turns: Sequence[Message]) -> tuple[str, str]:
        """The prompt, and what a model has to say after it: the last turn with its end of turn.

        What the template writes after the end of turn, such as a line break, is left out: no model has to say it.

        Raises:
            Refused: the template refuses the turns, or does not write the answer as it stands.
        """
        before, content = turns[:-1], str(turns[-1]["content"])
        prompt, full = self.prompt(before), self._render(turns)
        answer = None
        if full.startswith(prompt):
            answer = self._written(full[len(prompt) :], content)
        if answer is None:
            stem = self._before_answer(before)
            if full.startswith(stem):
                answer = self._written(full[len(stem) :], content)
        if answer is None:
            raise Refused("The chat template does not write this answer as it stands.")
        return prompt, answer

    def _written(self, text: str, content: str) -> str | None:
        """The answer's part of `text`, up to its end of turn; None where `text` does not begin with the answer."""
        said = content.strip()
        start = len(text) - len(text.lstrip())
        if not text.startswith(said, start):
            return None
        after = text[start + len(said) :]
        blanks = len(after) - len(after.lstrip())
        if not after.startswith(self.ends, blanks):
            return None
        return text[: start + len(said) + blanks + len(self.ends)]

    def _before_answer(self, turns: Sequence[Message]) -> str:
        """What stands before an answer in its written turn."""
        written = self._render([*turns, {"role": "assistant", "content": _SAID}])
        before, found, _ = written.rpartition(_SAID)
        if not found:
            raise Refused("The chat template leaves out the answer of this conversation.")
        return before

    def _render(self, turns: Sequence[Message], ask: bool = False) -> str:
        try:
            return str(
                self._tokenizer.apply_chat_template(
                    self._shown(turns),
                    chat_template=self._dated_text,
                    tokenize=False,
                    add_generation_prompt=ask,
                    **self._options,
                )
            )
        except Refused:
            raise
        except Exception as error:  # the template is code of someone else
            said = " ".join(str(error).split())[:_LONGEST_REASON]
            roles = ", ".join(turn["role"] for turn in turns) or "none"
            raise Refused(
                f"The chat template refuses this conversation ({said}): its turns are {roles}."
            ) from error

    def _shown(self, turns: Sequence[Message]) -> list[dict[str, Any]]:
        """The turns in the form that the template takes."""
        shown: list[dict[str, Any]] = [
            {**turn, "role": self._answering} if turn["role"] == "assistant" else turn
            for turn in turns
        ]
        if self._without_system and shown and shown[0]["role"] == "system":
            if len(shown) < 2 or shown[1]["role"] != "user":
                raise Refused(
                    "The chat template has no system turn, and there is no user turn at the conversation's beginning "
                    "that its text could stand in."
                )
            text = f"{shown[0]['content']}\n\n{shown[1]['content']}"
            shown = [{"role": "user", "content": text}, *shown[2:]]
        if self._in_parts:
            return [{**t, "content": [{"type": "text", "text": t["content"]}]} for t in shown]
        return shown

    # What is found out once

    def _find_form(self) -> list[Message]:
        """A conversation that the template writes: with contents as texts or lists, without or with a system turn."""
        head = {"role": "system", "content": _SYSTEM}
        turns = [{"role": "user", "content": _ASKED}, {"role": "assistant", "content": _SAID}]
        reasons: list[str] = []
        for probe in (turns, [head, *turns]):
            for self._in_parts in (False, True):
                try:
                    text = self._render(probe)
                except Refused as error:
                    cause = error.__cause__
                    if isinstance(cause, TemplateSyntaxError):
                        reason = f"it is no Jinja: {cause.message}, line {cause.lineno}"
                        raise self._unusable(reason) from None
                    reasons.append(error.what)
                    continue
                if _ASKED in text and _SAID in text:
                    return probe
        raise self._unusable(
            f"it refuses a question and its answer ({reasons[0]})"
            if reasons
            else "the text of a question, or of its answer, does not appear in what it writes"
        )

    def _settle_system(self, probe: Sequence[Message]) -> None:
        if probe[0]["role"] == "system":
            return
        system, reason = {"role": "system", "content": _SYSTEM}, "it leaves it out"
        try:
            if _SYSTEM in self._render([system, *probe]):
                return
        except Refused as error:
            reason = error.what.partition("(")[2].rpartition("): its turns")[0] or error.what
        self._without_system = True
        self.notes += (
            f"The chat template takes no system turn ({reason}): its text stands before that of the first user turn.",
        )

    def _settle_beginning(self, probe: Sequence[Message]) -> int:
        """How generation prompt and answers begin, with the switch and the answering role's name that serve best."""
        ways: list[tuple[dict[str, bool], str]] = [({}, "assistant")]
        named = [each for each in _SWITCHES if re.search(rf"\b{each}\b", self.text)]
        ways += [({each: False}, "assistant") for each in named]
        ways += [({}, "model")] if re.search(r"\bmodel\b", self.text) else []
        found: list[tuple[int, int]] = []
        for number, (self._options, self._answering) in enumerate(ways):
            try:
                found.append((self._beginning(probe)[0], number))
            except Refused:
                continue
        if not found:
            raise self._unusable("it does not write the answer of a conversation")
        kind, number = min(found)
        self._options, self._answering = ways[number]
        _, asked, written = self._beginning(probe)
        if kind == _OPENED:
            raise self._unusable(
                f"it begins an answer with {asked!r} when one is asked for, and writes answers without it: an answer "
                "would stand inside a thought that nothing ends"
            )
        if kind == _UNLIKE:
            raise self._unusable(
                f"it begins an answer with {asked!r} when one is asked for, and with {written!r} where it stands in a "
                "conversation"
            )
        if self._options:
            switch = next(iter(self._options))
            self.notes += (
                f"The chat template can write thoughts; {switch}=false is set, in training and in answers. Programs "
                "that ask the trained model have to set it, too.",
            )
        elif kind == _MORE:
            self.notes += (
                f"The chat template begins an answer with {written!r}, which it leaves out when one is asked for: it "
                "is part of the prompt. Programs that ask the trained model have to write it, too.",
            )
        return kind

    def _beginning(self, probe: Sequence[Message]) -> tuple[int, str, str]:
        """How both begin, and what the generation prompt and the written answer begin with beyond what they share."""
        header, before = self._render(probe[:-1], True), self._before_answer(probe[:-1])
        shared = _shared(header, before)
        asked, written = header[shared:], before[shared:]
        if not asked:
            return (_MORE if written.strip() else _AGREE), asked, written
        if "".join(asked.split()) == "".join(written.split()):
            return _OTHERWISE, asked, written
        if written.strip():
            return _UNLIKE, asked, written
        return (_OTHERWISE if _CLOSED.search(asked) else _OPENED), asked, written

    def _find_ends(self, probe: Sequence[Message]) -> tuple[str, str]:
        after = self._render(probe).rpartition(_SAID)[2].lstrip()
        tokens = [str(token) for token in self._tokenizer.added_tokens_decoder.values()]
        found = max((token for token in tokens if after.startswith(token)), key=len, default=None)
        if found is None:
            raise ModelError(
                "The chat template ends an answer with no special token, so a model cannot learn "
                "where to stop.",
                where=self._name,
                fix="Take a model whose template ends each turn, such as Qwen2.5's <|im_end|>.",
            )
        end = self._tokenizer.eos_token
        # What stops a model in other programs has to be learnt, too.
        more = end if end and found != end and after.startswith(end, len(found)) else ""
        return found, found + more

    def _unusable(self, reason: str) -> ModelError:
        return ModelError(
            f"The chat template cannot be trained with: {reason}.",
            where=self._name,
            fix="Mend chat_template.jinja (or chat_template in tokenizer_config.json), or use another base.",
        )


def chosen_template(tokenizer: Any) -> str:
    """The template that conversations are written with: the only one, or that called `default`.

    Raises:
        ModelError: there is none, or several and none of this name.
    """
    found: object = tokenizer.chat_template
    if isinstance(found, Mapping):
        named = {
            str(name): str(text) for name, text in cast("Mapping[object, object]", found).items()
        }
        if len(named) == 1 or "default" in named:
            return named.get("default") or next(iter(named.values()))
        if named:
            raise ModelError(
                f"The tokenizer has several chat templates ({', '.join(sorted(named))}) and none called default.",
                where=str(tokenizer.name_or_path),
                fix="Leave one of them in tokenizer_config.json, or call it default.",
            )
    if not found or isinstance(found, Mapping):
        raise ModelError(
            "The tokenizer has no chat template.",
            where=str(tokenizer.name_or_path or type(tokenizer).__name__),
            fix="Take an instruct model, or add chat_template to tokenizer_config.json.",
        )
    return str(found)


def _shared(one: str, other: str) -> int:
    """Length of the longest common beginning."""
    return next(
        (place for place, (a, b) in enumerate(zip(one, other, strict=False)) if a != b),
        min(len(one), len(other)),
    )
