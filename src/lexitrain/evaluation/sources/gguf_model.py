"""A GGUF file, asked as a phone asks it: by messages, through llama.cpp's own template and tokenizer.

What llama.cpp leaves to who asks is done here: characters are composed (NFC), and special tokens that stand in a text
are broken up, so that no text can end a turn.
"""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Callable, Generator, Sequence
from contextlib import contextmanager
from pathlib import Path

from lexitrain.evaluation.sources.remote_model import RemoteAnswerSource, RemoteModel
from lexitrain.serving import FileFacts, LlamaServer, file_facts, is_gguf_file
from lexitrain.storage import user_path

_WITHOUT_LENGTH = (
    4096  # tokens of a prompt with its answer, where the file does not say how long samples were
)
_ANSWER = 512


ADAPTER_MARK = "+"
"""Between a GGUF file and its adapter in a model's name."""


def with_adapter(file: Path, adapter: Path) -> str:
    """The name of a GGUF file with an adapter: `BASE.gguf+ADAPTER.gguf`."""
    return f"{file}{ADAPTER_MARK}{adapter}"


def gguf_files(name: str) -> tuple[Path, Path | None] | None:
    """The file and the adapter that a model's name means; None where it means something else."""
    whole = user_path(name)
    if is_gguf_file(whole):
        return whole, None
    for place, letter in enumerate(name):
        if (
            letter == ADAPTER_MARK
            and is_gguf_file(name[:place])
            and is_gguf_file(name[place + 1 :])
        ):
            return user_path(name[:place]), user_path(name[place + 1 :])
    return None


@contextmanager
def asked_file(file: Path, adapter: Path | None = None) -> Generator[RemoteAnswerSource]:
    """A source of the file's answers, while llama.cpp runs.

    Raises:
        MissingExtra: llama.cpp is not installed.
        ModelError: it cannot load the file.
    """
    facts = file_facts(file)
    adapters = [] if adapter is None else [adapter]
    with LlamaServer(
        file, adapters=adapters, adapter_scale=1.0, context=answer_context(facts)
    ) as server:
        yield RemoteAnswerSource(
            RemoteModel(
                f"{server.address}/v1",
                file.stem,
                key=server.key,
                llama_cpp=True,
                plain=plain_text(facts.specials),
            )
        )


def answer_context(facts: FileFacts) -> int:
    """Tokens that a prompt and its answer may have together: of a sample in training, and room for babble."""
    wanted = facts.max_length + _ANSWER if facts.max_length else _WITHOUT_LENGTH
    return min(wanted, facts.context)


def plain_text(specials: Sequence[str]) -> Callable[[str], str]:
    """What makes a user's text such that llama.cpp reads it as training did: composed, and without special tokens."""
    longest_first = sorted(specials, key=lambda each: (-len(each), each))
    pattern = re.compile("|".join(map(re.escape, longest_first)) or r"(?!)")

    def plain(text: str) -> str:
        composed = unicodedata.normalize("NFC", text)
        return pattern.sub(lambda found: f"{found[0][0]} {found[0][1:]}", composed)

    return plain
