"""A base's chat template, asked two things: the prompt before an answer, and the answer as it stands after it.

The prompt is what the template writes for inference, its generation prompt. Between that and an answer some templates
write more: the header, where they know no generation prompt, or an empty thought. No model has to say these, so they
are part of the prompt, in training and at inference alike. Blanks alone, as Llama 2 has them, are part of the answer:
SentencePiece has them in the answer's first token. Where a template has a switch against thoughts that makes both
agree, it is set.

Found out once, by rendering a probe; what cannot be right is refused there. A template that has no system turn gets
its text in front of the first user turn, and `notes` says so. Some 60 microseconds a rendering.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any, NamedTuple

from jinja2 import TemplateSyntaxError

from lexitrain.errors import DataError, ModelError

if TYPE_CHECKING:
    from datetime import date

    from lexitrain.tasks import Message

from lexitrain.samples.template_date import with_date

_SYSTEM, _ASKED, _SAID = "#system#", "#question#", "#answer#"
_SWITCHES = ("enable_thinking", "thinking")
"""Names that templates give to their switch between answers with and without a thought."""
_BY_CHANCE = re.compile(r"\|\s*random\b|\blipsum\s*\(")
_LONGEST_REASON = 200
_CLOSED = re.compile(r"(</[^<>]+>|<[^<>|]+\|>)\s*$")
"""The end of a thought that is closed again."""
_AGREE, _MORE, _OTHERWISE, _OPENED = range(4)
"""How the generation prompt and a written answer's turn begin: alike; the turn with more; otherwise; the generation
prompt with more."""


class Refused(DataError):
    """The chat template or the tokenizer refuses one record; others may be right."""


class Note(NamedTuple):
    """What is done otherwise than the template alone would, and what that means."""

    what: str
    fix: str


def chosen_template(found: object, name: str, day: date) -> str:
    """The template that a tokenizer uses, with its date settled.

    Args:
        found: as the tokenizer holds it: a text, or texts by name.
        name: of the base, for errors.
        day: the date that it writes, if it writes one.

    Raises:
        ModelError: there is none, or several without a default.
    """
    named: dict[str, str] = {}
    if isinstance(found, Mapping):
        named = {str(key): str(text) for key, text in found.items()}  # pyright: ignore
    elif isinstance(found, list | tuple):
        named = {each["name"]: each["template"] for each in found}  # pyright: ignore
    elif found:
        named = {"default": str(found)}
    if not named:
        raise ModelError(
            f"The tokenizer of {name} has no chat template.",
            where="model.base",
            fix="Use an instruction-tuned base, such as Qwen/Qwen2.5-0.5B-Instruct, or put chat_template.jinja into "
            "its folder.",
        )
    if "default" not in named:
        raise ModelError(
            f"The tokenizer of {name} has several chat templates and no default: {', '.join(sorted(named))}.",
            where="model.base",
            fix="Put the one to use into the base's folder as chat_template.jinja.",
        )
    return with_date(named["default"], day)


class ChatTemplate:
    """A tokenizer's chat template.

    Attributes:
        ends: the end of turn, as the template writes it after an answer: one special token, or two.
        notes: what the run should be told.

    Args:
        tokenizer: one of transformers', its `chat_template` one text.

    Raises:
        ModelError: no record can be rendered right with it.
    """

    def __init__(self, tokenizer: Any) -> None:
        self._tokenizer = tokenizer
        self._name = str(tokenizer.name_or_path or type(tokenizer).__name__)
        self._in_parts = False
        self._without_system = False
        self._options: dict[str, bool] = {}
        self.notes: tuple[Note, ...] = ()
        source = str(tokenizer.chat_template)
        if _BY_CHANCE.search(source):
            raise self._unusable("writes something at random, so a prompt is never the same again")
        probe = self._find_form()
        self._settle_system(probe)
        self._kind = self._settle_thoughts(probe, source)
        self.ends = self._find_ends(probe)

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
                    self._shown(turns), tokenize=False, add_generation_prompt=ask, **self._options
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
        shown: list[dict[str, Any]] = list(turns)
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
                        raise self._unusable(
                            f"is no Jinja: {cause.message}, line {cause.lineno}"
                        ) from None
                    reasons.append(error.what)
                    continue
                if _ASKED in text and _SAID in text:
                    return probe
        raise self._unusable(
            "does not write the texts of a question and its answer"
            + (f" ({reasons[0]})" if reasons else "")
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
        self._note(
            f"The chat template of {self._name} has no system turn ({reason}): the system text stands before the first "
            "user turn.",
            "Ask the trained model in the same form.",
        )

    def _settle_thoughts(self, probe: Sequence[Message], source: str) -> int:
        """Which of the ways the template's turns begin, with the switch that serves best."""
        ways: list[dict[str, bool]] = [{}]
        ways += [{each: False} for each in _SWITCHES if re.search(rf"\b{each}\b", source)]
        found: list[tuple[int, int]] = []
        for number, self._options in enumerate(ways):
            try:
                found.append((self._beginning(probe)[0], number))
            except Refused:
                continue
        kind, number = min(found, default=(_OPENED, 0))
        self._options = ways[number]
        if kind == _OPENED:
            more = self._beginning(probe)[1]
            raise self._unusable(
                f"opens {more!r} before an answer to come, and writes answers without it: what was learnt would not be "
                "what is asked for",
                "Take a base that answers without thoughts, or a template that closes the thought: its generation "
                "prompt and its assistant turns have to begin alike.",
            )
        if self._options:
            switch = next(iter(self._options))
            self._note(
                f"The chat template of {self._name} writes an empty thought before answers; it is part of the prompt, "
                f"with {switch}=false.",
                f"Ask the trained model with {switch}=false elsewhere, too.",
            )
        elif kind == _MORE:
            self._note(
                f"The chat template of {self._name} begins an answer's turn with {self._beginning(probe)[1]!r}, which "
                "its generation prompt lacks; it is part of the prompt.",
                "Where the trained model is asked by other programs, write it behind their prompt.",
            )
        return kind

    def _beginning(self, probe: Sequence[Message]) -> tuple[int, str]:
        header, before = self._render(probe[:-1], True), self._before_answer(probe[:-1])
        if before.startswith(header):
            more = before[len(header) :]
            return (_MORE if more.strip() else _AGREE), more
        more = header[len(before) :]
        if header.startswith(before) and more.strip() and not _CLOSED.search(more):
            return _OPENED, more
        return _OTHERWISE, ""

    def _find_ends(self, probe: Sequence[Message]) -> str:
        after = self._render(probe).rpartition(_SAID)[2].lstrip()
        tokens = [str(token) for token in self._tokenizer.added_tokens_decoder.values()]
        found = max((token for token in tokens if after.startswith(token)), key=len, default=None)
        if found is None:
            raise self._unusable(
                "ends an answer with no special token, so a model cannot learn where to stop",
                "Take a model whose template ends each turn, such as Qwen2.5's <|im_end|>.",
            )
        end = self._tokenizer.eos_token
        if end and found != end and after.startswith(end, len(found)):
            found += end  # what stops a model elsewhere must be learnt, too
        return found

    def _note(self, what: str, fix: str) -> None:
        self.notes = (*self.notes, Note(what, fix))

    def _unusable(self, what: str, fix: str = "") -> ModelError:
        usual = "Take another base, or put a chat_template.jinja that works into its folder."
        return ModelError(f"The chat template {what}.", where=self._name, fix=fix or usual)
