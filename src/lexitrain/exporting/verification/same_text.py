"""Whether llama.cpp reads a file's texts as training did: the same prompt from messages, the same tokens from a prompt.

A lost chat template or a split rule of another tokenizer changes every answer, and no error tells. Characters are
composed (NFC) before they are sent: that llama.cpp does not compose them itself is known, and what asks a file here
does it.
"""

from __future__ import annotations

import unicodedata
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from lexitrain.serving import LlamaServer, applied_template, tokenized

if TYPE_CHECKING:
    from lexitrain.records import Record
    from lexitrain.samples import Renderer

_SHOWN = 200


@dataclass(frozen=True, slots=True)
class SameText:
    """Attributes:
    prompts: asked; `other_prompts` of them llama.cpp's template writes otherwise.
    texts: tokenized, prompts among them; `other_tokens` of them llama.cpp reads otherwise.
    first_difference: what is different, of the first one that is.
    """

    prompts: int
    other_prompts: int
    texts: int
    other_tokens: int
    first_difference: str | None

    @property
    def same(self) -> bool:
        """Whether nothing differs."""
        return self.other_prompts == self.other_tokens == 0

    def to_json(self) -> dict[str, Any]:
        """As JSON."""
        return {
            "prompts": self.prompts,
            "other_prompts": self.other_prompts,
            "texts": self.texts,
            "other_tokens": self.other_tokens,
            "first_difference": self.first_difference,
        }


def same_text(
    server: LlamaServer,
    renderer: Renderer,
    records: Sequence[Record],
    plain: Callable[[str], str],
) -> SameText:
    """Compare prompts and tokens of records.

    Args:
        server: of the file.
        renderer: of the run.
        plain: what is done to a text before it is sent.
    """
    other_prompts = other_tokens = texts = 0
    first: str | None = None
    for record in records:
        turns = [
            {"role": turn["role"], "content": plain(turn["content"])}
            for turn in renderer.task(record).prompt_messages(record)
        ]
        ours = renderer.template.prompt(turns)
        theirs = applied_template(server, turns)
        if ours != theirs:
            other_prompts += 1
            first = first or f"the prompt {_end(ours, theirs)}"
        for text, special in ((ours, True), *((each, False) for each in written_forms(record))):
            texts += 1
            sent = unicodedata.normalize("NFC", text)
            known = renderer.tokenizer(
                sent, add_special_tokens=False, split_special_tokens=not special
            )["input_ids"]
            if tokenized(server, sent, special=special) != known:
                other_tokens += 1
                first = first or f"the tokens of {sent[:_SHOWN]!r}"
    return SameText(len(records), other_prompts, texts, other_tokens, first)


def written_forms(record: Record) -> Iterator[str]:
    """The learner's text composed, decomposed, and every second character of each."""
    text = record.input or " ".join(turn["content"] for turn in record.messages or ())
    decomposed = unicodedata.normalize("NFD", text)
    yield unicodedata.normalize("NFC", text)
    yield decomposed
    yield "".join(
        unicodedata.normalize("NFD" if place % 2 else "NFC", letter)
        for place, letter in enumerate(unicodedata.normalize("NFC", text))
    )


def _end(ours: str, theirs: str) -> str:
    at = next(
        (n for n, pair in enumerate(zip(ours, theirs, strict=False)) if pair[0] != pair[1]),
        min(len(ours), len(theirs)),
    )
    return (
        f"from character {at} on: {ours[at : at + 40]!r}, and in the file {theirs[at : at + 40]!r}"
    )
