"""The changes a run makes to files, each in the form that survives a kill, a power cut and a full disk.

What is written counts only once it is synced, and a name only once its folder is synced: a power cut may drop or tear
everything else, in any order. So a file is written under a temporary name, synced, and renamed over the old one; a
journal gains whole lines, and a line torn by a crash is dropped when the journal is next read or written. All of a
run's storage goes through these few functions, and one test crashes between every two operations they make. Costs: one
or two `fsync`s a file, a few milliseconds on a local disk.
"""

from __future__ import annotations

import json
import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any

_NEW = os.O_WRONLY | os.O_CREAT | os.O_TRUNC | getattr(os, "O_BINARY", 0)
_JOURNAL = os.O_RDWR | os.O_CREAT | os.O_APPEND | getattr(os, "O_BINARY", 0)


def make_folder(path: Path) -> None:
    """Make a folder and those above it that are missing, their names being on the disk on return."""
    missing = [each for each in (path, *path.parents) if not each.exists()]
    for each in reversed(missing):
        each.mkdir(exist_ok=True)
        sync_folder(each.parent)


def write_file(path: Path, content: bytes) -> None:
    """Replace `path` by `content` at once: after a crash the file is the old one or the new one, whole.

    Raises:
        OSError: no space, read-only, and so on; the old file is then untouched and nothing is left beside it.
    """
    make_folder(path.parent)
    temporary = path.with_name(f".{path.name}.tmp-{os.getpid()}")
    try:
        write_synced(temporary, content)
        temporary.replace(path)
    except BaseException:
        temporary.unlink(missing_ok=True)
        raise
    sync_folder(path.parent)


def write_json(path: Path, content: Mapping[str, Any]) -> None:
    """`write_file` of an indented JSON object."""
    write_file(path, (json.dumps(content, indent=2, ensure_ascii=False) + "\n").encode())


def write_synced(path: Path, content: bytes) -> None:
    """Write a new file and wait until its bytes are on the disk; its name is so only after `sync_folder`."""
    descriptor = os.open(path, _NEW, 0o666)
    try:
        _write_all(descriptor, content)
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def sync_folder(path: Path) -> None:
    """Wait until the names in a folder are on the disk; file systems that cannot do this are left alone."""
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    except OSError:
        # Some network mounts refuse to sync a folder; their renames are as durable as they get.
        pass
    finally:
        os.close(descriptor)


def remove_folder(path: Path, *, first: str | None = None, truncate: bool = False) -> None:
    """Delete a folder with all that is in it.

    Args:
        path: the folder.
        first: the file to delete first, such as a manifest without which the rest counts for nothing.
        truncate: empty each file before deleting it. A mounted drive moves deleted files to a trash that counts
            against its quota; an emptied file takes no room there.
    """
    for each in sorted(path.iterdir(), key=lambda each: (each.name != first, each.name)):
        if each.is_dir() and not each.is_symlink():
            remove_folder(each, truncate=truncate)
            continue
        if truncate and not each.is_symlink():
            os.truncate(each, 0)
        each.unlink()
    path.rmdir()


def append_to_journal(path: Path, lines: bytes) -> None:
    """Append whole lines, durably; the torn tail of a crash is cut off before.

    Raises:
        OSError: no space, and so on; the journal then ends where it ended before.
    """
    make_folder(path.parent)
    descriptor = os.open(path, _JOURNAL, 0o666)
    try:
        end = _cut_torn_tail(descriptor)
        try:
            _write_all(descriptor, lines)
            os.fsync(descriptor)
        except BaseException:
            os.ftruncate(descriptor, end)
            raise
    finally:
        os.close(descriptor)
    if end == 0:
        sync_folder(path.parent)


def whole_lines(path: Path) -> list[bytes]:
    """The lines of a journal without a torn last one; none where there is no journal."""
    try:
        return path.read_bytes().rpartition(b"\n")[0].splitlines()
    except FileNotFoundError:
        return []


def _cut_torn_tail(descriptor: int) -> int:
    """Cut what follows the last line break of an open journal; returns its length then."""
    end = length = os.lseek(descriptor, 0, os.SEEK_END)
    block = b""
    while end and not block.endswith(b"\n"):
        os.lseek(descriptor, end - 1, os.SEEK_SET)
        block = os.read(descriptor, 1)
        end -= not block.endswith(b"\n")
    if end < length:
        os.ftruncate(descriptor, end)
    return end


def _write_all(descriptor: int, content: bytes) -> None:
    left = memoryview(content)
    while left:
        left = left[os.write(descriptor, left) :]
