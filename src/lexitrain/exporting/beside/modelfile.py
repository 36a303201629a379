"""A Modelfile: what Ollama makes a model of. It reads Go templates, so the chat template is written anew as one.

Most chat templates do one thing to each turn: a text before it, a text behind it. Those texts are found by rendering
marks, and the template is believed to be of this kind only where it gives the same prompts for several conversations.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from lexitrain.errors import ModelError
from lexitrain.storage import write_file

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from lexitrain.samples import Renderer

_ROLES = ("system", "user", "assistant")
_PROBES = (
    (("system", "s one"), ("user", "u one")),
    (("system", "s two"), ("user", "u"), ("assistant", "a"), ("user", "v")),
    (
        ("system", "s"),
        ("user", "u\nv"),
        ("assistant", "{}"),
        ("user", "w"),
        ("assistant", "b"),
        ("user", "x"),
    ),
)


@dataclass(frozen=True, slots=True)
class TurnTexts:
    """Attributes:
    around: role -> texts before and behind a turn.
    answer: before the answer.
    """

    around: Mapping[str, tuple[str, str]]
    answer: str

    def prompt(self, turns: Sequence[tuple[str, str]]) -> str:
        """Of turns, as (role, content)."""
        written = (self.around[role][0] + content + self.around[role][1] for role, content in turns)
        return "".join(written) + self.answer


def turn_texts(renderer: Renderer) -> TurnTexts:
    """The texts around each turn.

    Raises:
        ModelError: the chat template does more than that.
    """
    mark = "\u2042{}\u2042"
    turns = [(role, mark.format(number)) for number, role in enumerate((*_ROLES, "user"))]
    whole = _rendered(renderer, turns)
    pieces: list[str] = []
    rest = whole
    for _, content in turns:
        before, found, rest = rest.partition(content)
        if not found:
            raise _too_much(renderer)
        pieces.append(before)
    # Two turns of the user: what stands around the second one is known from the first.
    first, between_su, between_ua, between_au = pieces
    # Several borders between two turns may give the same text; behind the end of turn and its blanks is the usual one.
    behind = between_au.find(renderer.end_of_turn) + len(renderer.end_of_turn)
    usual = len(between_au) - len(between_au[behind:].lstrip())
    for split in (usual, *range(len(between_au) + 1)):
        texts = _split_at(first, between_su, between_ua, between_au, rest, split)
        if texts is not None and all(
            texts.prompt(probe) == _rendered(renderer, probe) for probe in _PROBES
        ):
            return texts
    raise _too_much(renderer)


def _split_at(
    first: str, between_su: str, between_ua: str, between_au: str, rest: str, split: int
) -> TurnTexts | None:
    """The texts, where so many characters of what stands between an answer and a question end the answer."""
    end, user = between_au[:split], between_au[split:]
    if not between_su.endswith(user) or not user:
        return None
    end_system = between_su[: len(between_su) - len(user)]
    # Behind a question stand its end and the answer's beginning; an empty thought may stand before the last answer.
    if not rest.startswith(end) or not between_ua.startswith(end):
        return None
    answered = between_ua[len(end) :]
    return TurnTexts(
        {"system": (first, end_system), "user": (user, end), "assistant": (answered, end)},
        rest[len(end) :],
    )


def _rendered(renderer: Renderer, turns: Sequence[tuple[str, str]]) -> str:
    return renderer.template.prompt([{"role": role, "content": text} for role, text in turns])


def _too_much(renderer: Renderer) -> ModelError:
    return ModelError(
        "The chat template does more than to put texts around turns, so that it has no form in a Modelfile.",
        where=renderer.tokenizer.name_or_path,
        fix="Use the GGUF file with llama.cpp, or behind `lexitrain serve`: they run the template itself.",
    )


def require_modelfile(renderer: Renderer, system: str) -> TurnTexts:
    """The texts around each turn, where a Modelfile can be written with them.

    Raises:
        ModelError: it cannot.
    """
    texts = turn_texts(renderer)
    held = (system, texts.answer, *(text for pair in texts.around.values() for text in pair))
    if any('"""' in text for text in held):
        raise ModelError(
            'The chat template or the system text holds """, which ends a text in a Modelfile.',
            where=renderer.tokenizer.name_or_path,
            fix="Use the GGUF file with llama.cpp, or behind `lexitrain serve`.",
        )
    return texts


def write_modelfile(
    path: Path,
    renderer: Renderer,
    system: str,
    *,
    model: str,
    adapter: str | None = None,
    context: int,
) -> None:
    """Write a Modelfile.

    Args:
        system: the system turn of the tasks, said explicitly: some templates have another one of their own.
        model, adapter: files beside it.
        context: tokens of a prompt with its answer.

    Raises:
        ModelError: the chat template has no form in it.
        OSError: as of the disk.
    """
    texts = require_modelfile(renderer, system)
    branches = "".join(
        f'{{{{ {"if" if number == 0 else "else if"} eq .Role "{role}" }}}}'
        f"{_go(before)}{{{{ .Content }}}}{_go(behind)}"
        for number, (role, (before, behind)) in enumerate(texts.around.items())
    )
    template = f"{{{{ range .Messages }}}}{branches}{{{{ end }}}}{{{{ end }}}}{_go(texts.answer)}"
    lines = [
        f"FROM ./{model}",
        *([f"ADAPTER ./{adapter}"] if adapter else []),
        f'TEMPLATE """{template}"""',
        f'SYSTEM """{system}"""',
        f'PARAMETER stop "{renderer.end_of_turn}"',
        "PARAMETER temperature 0",
        "PARAMETER top_k 1",
        "PARAMETER repeat_penalty 1",
        f"PARAMETER num_ctx {context}",
    ]
    write_file(path, ("\n".join(lines) + "\n").encode())


def _go(text: str) -> str:
    """A text in a Go template. No brace is left that could become a part of what begins an action behind it."""
    return text.replace("{", '{{ "{" }}')
