"""A tokenizer's chat template: what it writes before an answer, and what the answer is.

Templates differ in more than their marks. What this one does is found out once, on made-up conversations:

- A template that thinks is asked not to (`enable_thinking`). What it writes between the header of an answer and the
  answer, such as an empty thought, belongs to the prompt, in training and when the model is asked.
- A template that writes no header when an answer is asked for gets the one that it writes before answers.
- A template that opens a thought when an answer is asked for, and writes answers without one, is refused: the answer
  would stand inside the thought.
- A template that refuses a system turn gets its text before that of the first user turn.
- A template that writes earlier answers otherwise than the last one (without their thoughts) lets only the last answer
  of a conversation be learnt: what stands before an earlier one is not what a model is asked with.
- A template that writes today's date writes that of a fixed day.

Nothing of a template is trusted to be the same for other turns: whoever renders a conversation checks it.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from datetime import date
from typing import Any, cast

from jinja2 import TemplateError

from lexitrain.errors import DataError, ModelError

Turns = Sequence[Mapping[str, Any]]

_TODAY = re.compile(r"""strftime_now\s*\(\s*(["'])(.*?)\1\s*\)""")
"""Where a template writes the date; transformers lets no other function take its place."""
_ANSWER = "#answer#"
_SAID = ("#question#", "#earlier#", "#again#")


class ChatTemplate:
    """The chat template of one tokenizer.

    Attributes:
        end_of_turn: the special token that ends an answer.
        keeps_answers: whether an answer is written the same when turns follow it.
        notes: sentences on what the template makes different from what a reader of the data would expect.
        dated: whether it writes a date.

    Args:
        tokenizer: a fast tokenizer of transformers.
        day: the date that a dated template writes.

    Raises:
        ModelError: it has no chat template, several without a default, one that cannot be run, or one whose answers
            cannot be learnt.
    """

    def __init__(self, tokenizer: Any, day: date) -> None:
        self._tokenizer = tokenizer
        self._name = str(tokenizer.name_or_path or type(tokenizer).__name__)
        self.text = chosen_template(tokenizer)
        self._dated_text, count = _TODAY.subn(lambda found: repr(day.strftime(found[2])), self.text)
        self.dated = count > 0
        if "strftime_now(" in self._dated_text.replace(" ", ""):
            raise self._unusable("it writes a date in a format that it makes up as it runs")
        self._options: dict[str, Any] = {}
        if "enable_thinking" in self.text:
            self._options["enable_thinking"] = False
        self._parts = self._takes_parts()
        self._merges_system = self._refuses_system()
        self._role, self._opening = self._answer_header()
        self.end_of_turn = self._found_end()
        self.keeps_answers = self._keeps()
        self.notes = self._notes()

    def before_answer(self, turns: Turns) -> str:
        """All that a model is shown of a conversation that it is to go on with.

        Raises:
            DataError: the template refuses the conversation.
        """
        return self._written(turns, asked=True) + self._opening

    def with_answer(self, turns: Turns) -> str:
        """A conversation that ends with an answer, up to and including the token that ends it.

        Raises:
            DataError: the template refuses the conversation.
        """
        written = self._written(turns, asked=False)
        end = written.rfind(self.end_of_turn)
        if end < 0:
            raise DataError("The chat template does not end the last answer of this conversation.")
        return written[: end + len(self.end_of_turn)]

    def _written(self, turns: Turns, *, asked: bool) -> str:
        roles = [str(turn["role"]) for turn in turns]
        try:
            return self._run(self._shaped(turns), asked)
        except (TemplateError, TypeError, ValueError, KeyError, AttributeError) as error:
            raise DataError(
                f"The chat template refuses this conversation ({_reason(error)}): its turns are {', '.join(roles)}."
            ) from None

    def _shaped(self, turns: Turns) -> list[dict[str, Any]]:
        """The turns as this template takes them."""
        found = [{"role": turn["role"], "content": turn["content"]} for turn in turns]
        if self._merges_system and found and found[0]["role"] == "system":
            system, *found = found
            first = next((turn for turn in found if turn["role"] == "user"), None)
            if first is None:
                raise DataError("There is no user turn to put the system turn's text before.")
            first["content"] = f"{system['content']}\n\n{first['content']}"
        for turn in found:
            if turn["role"] == "assistant":
                turn["role"] = self._role
            if self._parts:
                turn["content"] = [{"type": "text", "text": turn["content"]}]
        return found

    def _run(self, turns: list[dict[str, Any]], asked: bool) -> str:
        found: str = self._tokenizer.apply_chat_template(
            turns,
            chat_template=self._dated_text,
            tokenize=False,
            add_generation_prompt=asked,
            **self._options,
        )
        return found

    # What the template does

    def _takes_parts(self) -> bool:
        """Whether a turn's content has to be a list of parts."""
        self._parts, self._merges_system, self._role = False, False, "assistant"
        plain = _turns("user")
        for parts in (False, True):
            self._parts = parts
            try:
                if _SAID[0] in self._run(self._shaped(plain), True):
                    return parts
            except (TemplateError, TypeError, ValueError, KeyError, AttributeError) as error:
                reason = _reason(error)
            else:
                reason = "the text of a question does not appear in what it writes"
        raise self._unusable(f"it refuses a question ({reason})")

    def _refuses_system(self) -> bool:
        turns = _turns("system", "user")
        try:
            written = self._run(self._shaped(turns), True)
        except (TemplateError, TypeError, ValueError, KeyError, AttributeError):
            return True
        return "#system#" not in written  # dropped without a word

    def _answer_header(self) -> tuple[str, str]:
        """The name of the role that writes answers, and what of their header the template leaves out when it asks."""
        turns = _turns("user")
        asked = self._run(self._shaped(turns), True)
        unlike = ""
        for role in ("assistant", "model"):
            self._role = role
            try:
                written = self._run(self._shaped([*turns, _answered(_ANSWER)]), False)
            except (TemplateError, TypeError, ValueError, KeyError, AttributeError):
                continue
            if _ANSWER not in written:
                continue
            header = written[: written.rindex(_ANSWER)]
            if header.startswith(asked):
                opening = header[len(asked) :]
                # A space before an answer is the answer's own: tokenizers keep the two together.
                return role, opening if opening.strip() else ""
            if header.strip() == asked.strip():
                return role, ""
            if asked.startswith(header.rstrip()):
                raise self._unusable(
                    f"it begins an answer with {asked[len(header.rstrip()) :].strip()!r} when one is asked for, and "
                    "writes answers without it: an answer would stand inside a thought that nothing ends"
                )
            unlike = unlike or header
        if not unlike:
            raise self._unusable("it does not write the answer of a conversation")
        beginning = _shared(asked, unlike)
        raise self._unusable(
            f"it begins an answer with {asked[beginning:]!r} when one is asked for, and with {unlike[beginning:]!r} "
            "where it stands in a conversation"
        )

    def _found_end(self) -> str:
        written = self._run(self._shaped([*_turns("user"), _answered(_ANSWER)]), False)
        after = written.rpartition(_ANSWER)[2].lstrip()
        special = [str(t) for t in self._tokenizer.added_tokens_decoder.values() if t.special]
        found = [token for token in special if after.startswith(token)]
        if not found:
            raise ModelError(
                "The chat template ends an answer with no special token, so a model cannot learn "
                "where to stop.",
                where=self._name,
                fix="Take a model whose template ends each turn, such as Qwen2.5's <|im_end|>.",
            )
        return max(found, key=len)

    def _keeps(self) -> bool:
        """Whether an answer of two is written, with its end, as if it were the last one."""
        first = [*_turns("user"), _answered(_SAID[1])]
        second = [*first, {"role": "user", "content": _SAID[2]}]
        try:
            done = self.with_answer(first)
            return self.before_answer(second).startswith(done)
        except DataError:
            return True  # it takes no second question; conversations that have one are refused themselves

    def _notes(self) -> tuple[str, ...]:
        notes: list[str] = []
        if self._merges_system:
            notes.append(
                "The chat template takes no system turn: its text stands before that of the first user turn."
            )
        if not self.keeps_answers:
            notes.append(
                "The chat template writes earlier answers otherwise than the last one: of a conversation only the "
                "last answer that is to be learnt is learnt."
            )
        return tuple(notes)

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


def _turns(*roles: str) -> list[dict[str, str]]:
    texts = {"system": "#system#", "user": _SAID[0]}
    return [{"role": role, "content": texts[role]} for role in roles]


def _answered(text: str) -> dict[str, str]:
    return {"role": "assistant", "content": text}


def _shared(one: str, other: str) -> int:
    """Length of the longest common beginning."""
    return next(
        (place for place, (a, b) in enumerate(zip(one, other, strict=False)) if a != b),
        min(len(one), len(other)),
    )


def _reason(error: Exception) -> str:
    return str(error).strip().partition("\n")[0] or type(error).__name__
