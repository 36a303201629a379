"""Which weights a base's name stands for today: a folder can be filled anew, a name on the Hub can move on.

An adapter is only right on the weights that it was trained on, and nothing in its shape tells when they changed.
"""

from __future__ import annotations

import hashlib
from pathlib import Path

from lexitrain.models.location import resolve_base
from lexitrain.recipe import NANO

NANO_OF_0_1_0 = "sha256:5c3290291b01d9a3e6cb4b221638bcaaa071de91287d4391d73276dba0866abf"
"""Identity of the base `nano` in version 0.1.0, which wrote no identity into its runs."""
_READ_WHOLE = 64 << 20
_BLOCK = 1 << 16
_BLOCKS = 256


def base_identity(base: str, revision: str | None = None) -> str | None:
    """A text that is another one when the weights are others.

    A folder: `sha256:` of its safetensors files' names, sizes and content; of a file of more than 64 MiB its first MiB,
    its last block and 256 blocks of 64 KiB spread over it, which training anew, merging or quantizing all change, and
    which are read in a moment. A Hub id: `commit:` of the snapshot in the local cache. None where neither is there.

    Args:
        base: a recipe's `model.base`.
        revision: of a Hub id.

    Raises:
        ModelError: it is written as a path and no such folder exists.
        OSError: a file cannot be read.
    """
    source = Path(resolve_base(base))
    if source.is_dir():
        files = sorted(source.glob("*.safetensors"))
        if not files:
            return None
        content = hashlib.sha256()
        for file in files:
            content.update(f"{file.name} {file.stat().st_size}\n".encode())
            _add_content(content, file)
        return f"sha256:{content.hexdigest()}"
    return _commit(base, revision)


def identity_before_it_was_written(base: str) -> str | None:
    """Identity of the base of a run whose folder holds none, which 0.1.0 wrote; None where nobody knows."""
    return NANO_OF_0_1_0 if base == NANO else None


def _add_content(content: hashlib._Hash, file: Path) -> None:
    size = file.stat().st_size
    with file.open("rb") as stream:
        if size <= _READ_WHOLE:
            while block := stream.read(1 << 20):
                content.update(block)
            return
        content.update(stream.read(1 << 20))
        for index in range(1, _BLOCKS + 1):
            stream.seek((size - _BLOCK) * index // _BLOCKS)
            content.update(stream.read(_BLOCK))


def _commit(base: str, revision: str | None) -> str | None:
    from huggingface_hub import try_to_load_from_cache
    from huggingface_hub.errors import HFValidationError

    try:
        found = try_to_load_from_cache(base, "config.json", revision=revision)
    except HFValidationError:
        return None
    return f"commit:{Path(found).parent.name}" if isinstance(found, str) else None
