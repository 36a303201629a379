"""Files as bytes, unpacked while they are read where their last ending says that they are packed."""

from __future__ import annotations

import bz2
import gzip
import io
import lzma
import zlib
from collections.abc import Generator
from contextlib import contextmanager
from importlib import import_module
from pathlib import Path
from typing import Any, BinaryIO, Protocol, cast

from lexitrain.errors import DataError, MissingExtra

PACKED = (".gz", ".bz2", ".xz", ".zst")
"""Endings of packed files; `.zst` needs the extra `hub`."""


class Opened(Protocol):
    """What is read of a file: bytes, and its beginning before it is read."""

    def peek(self, size: int = ..., /) -> bytes: ...
    def read(self, size: int = ..., /) -> bytes: ...
    def readline(self, size: int = ..., /) -> bytes: ...


def kind_of_file(path: Path) -> str:
    """The ending that says what a file holds, in small letters: `.jsonl` of `a.jsonl.gz`."""
    suffix = path.suffix.lower()
    return Path(path.stem).suffix.lower() if suffix in PACKED else suffix


@contextmanager
def opened(path: Path, name: str) -> Generator[Opened]:
    """The bytes of a file, unpacked.

    Args:
        name: the file as the user named it.

    Raises:
        DataError: what is packed is damaged, or was cut off.
        MissingExtra: `.zst` needs pyarrow.
    """
    if path.suffix.lower() not in PACKED:
        with path.open("rb") as plain:
            yield plain
        return
    try:
        with _unpacked(path) as file:
            yield cast("Opened", file)
    except (EOFError, zlib.error, lzma.LZMAError, OSError) as error:
        if isinstance(error, OSError) and error.errno is not None:
            raise  # the disk's own
        raise DataError(
            f"This file cannot be unpacked ({error}).",
            where=name,
            fix="Pack it again: it is damaged, was cut off, or its ending is another's.",
        ) from None


def _unpacked(path: Path) -> BinaryIO:
    suffix = path.suffix.lower()
    if suffix == ".gz":
        return cast("BinaryIO", gzip.open(path))
    if suffix == ".bz2":
        return cast("BinaryIO", bz2.open(path))
    if suffix == ".xz":
        return cast("BinaryIO", lzma.open(path))
    try:
        pyarrow: Any = import_module("pyarrow")
    except ImportError:
        raise MissingExtra("pyarrow", "hub") from None
    path.open("rb").close()  # a file that may not be read is the disk's error
    return io.BufferedReader(pyarrow.input_stream(str(path), compression="zstd"))
