"""What rehearsals gave, kept in the user's cache folder, so that the next plan needs neither them nor torch.

A file carries a hash of its content. One that is damaged, or holds something else, is made anew without a word: nothing
is lost but seconds.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable, Sequence
from contextlib import suppress
from dataclasses import asdict
from functools import cache
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

from lexitrain.storage import cache_folder, write_file

if TYPE_CHECKING:
    from lexitrain.models import Architecture
    from lexitrain.planning.rehearsal.target import Target
    from lexitrain.recipe import Recipe

Result = TypeVar("Result")


def rehearsal_key(
    what: str,
    architecture: Architecture,
    recipe: Recipe,
    target: Target,
    more: Sequence[Any] = (),
) -> str:
    """Hash of all that decides a rehearsal, the code that is rehearsed included."""
    step = recipe.step
    parts = [
        what,
        architecture.fingerprint,
        recipe.model.quantization,
        recipe.lora.rank,
        sorted(recipe.lora.targets),
        list(recipe.lora.layers),
        recipe.lora.dropout > 0,
        step.head_chunk,
        step.gradient_checkpointing,
        asdict(target),
        list(more),
        _code(),
    ]
    return hashlib.sha256(json.dumps(parts).encode()).hexdigest()[:32]


def kept_rehearsal(
    key: str, make: Callable[[], dict[str, Any]], read: Callable[[dict[str, Any]], Result]
) -> Result:
    """What is kept under `key`, made and kept where it is not there. A cache that cannot be used is no error.

    Args:
        key: as `rehearsal_key` gives it.
        make: gives the content, of JSON's types.
        read: makes the result of it.
    """
    path = cache_folder("rehearsals") / f"{key}.json"
    with suppress(OSError, ValueError, TypeError, KeyError, RecursionError):
        document = json.loads(path.read_text(encoding="utf-8"))
        content = document["content"]
        if document["sha256"] == _sha256(content):
            return read(content)
    content = json.loads(json.dumps(make()))  # tuples become what they are when read
    document = {"sha256": _sha256(content), "content": content}
    with suppress(OSError):
        write_file(path, json.dumps(document).encode())
    return read(content)


def _sha256(content: Any) -> str:
    return hashlib.sha256(json.dumps(content, sort_keys=True).encode()).hexdigest()


@cache
def _code() -> str:
    """Versions of the libraries and a hash of the files that are rehearsed."""
    digest = hashlib.sha256()
    for name in ("torch", "transformers", "peft", "bitsandbytes"):
        try:
            digest.update(f"{name} {version(name)}".encode())
        except PackageNotFoundError:
            digest.update(f"{name} -".encode())
    source = Path(__file__).parents[2]
    for room in ("models", "step", "batching", "planning"):
        for path in sorted((source / room).rglob("*.py")):
            digest.update(path.read_bytes())
    return digest.hexdigest()
