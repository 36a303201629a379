"""What a GGUF file says of itself."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

from lexitrain.errors import MissingExtra, ModelError

TASKS = "lexitrain.tasks"
SYSTEM = "lexitrain.system"
MAX_LENGTH = "lexitrain.max_length"
_CONTROL = 3  # GGUF's type of special tokens


@dataclass(frozen=True, slots=True)
class FileFacts:
    """Attributes:
    context: tokens of a text that the model was made for.
    specials: texts of the tokens that no user may write.
    tasks: that it was trained for, where the file says so.
    system: `data.system` of its recipe.
    max_length: tokens of a sample in training; 0 where unknown.
    tensors: name -> type.
    """

    context: int
    specials: tuple[str, ...]
    tasks: tuple[str, ...]
    system: str | None
    max_length: int
    tensors: dict[str, str]


def file_facts(path: Path) -> FileFacts:
    """What the file says of itself; reading it costs a second or two with a large vocabulary.

    Raises:
        MissingExtra: the package gguf is not installed.
        ModelError: it is no GGUF file of a model, or cut off.
    """
    try:
        from gguf import GGUFReader
    except ImportError:
        raise MissingExtra("gguf", "export") from None
    try:
        reader: Any = GGUFReader(path)
    except Exception as error:  # of many kinds, none of which says more
        raise ModelError(
            f"This file cannot be read as GGUF: {error}.", where=path, fix="Export it anew."
        ) from error

    def value(key: str, otherwise: Any) -> Any:
        found = reader.get_field(key)
        return otherwise if found is None else found.contents()

    if value("general.type", "model") != "model":
        raise ModelError(
            "This GGUF file is an adapter and no model.",
            where=path,
            fix="Give its base: the adapter goes beside it, such as `lexitrain serve BASE.gguf --adapter FILE`.",
        )
    architecture = value("general.architecture", "")
    types: list[int] = value("tokenizer.ggml.token_type", [])
    special = [number for number, kind in enumerate(types) if kind == _CONTROL]
    tokens = reader.get_field("tokenizer.ggml.tokens")
    return FileFacts(
        context=int(value(f"{architecture}.context_length", 2048)),
        specials=tuple(str(tokens.contents(number)) for number in special),
        tasks=tuple(value(TASKS, ())),
        system=value(SYSTEM, None),
        max_length=int(value(MAX_LENGTH, 0)),
        tensors={str(each.name): each.tensor_type.name for each in reader.tensors},
    )
