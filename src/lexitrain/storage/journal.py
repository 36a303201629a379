"""Journals: files that only ever gain whole lines, and lose nothing in a crash.

What is appended counts once it is synced. A line that a crash has torn is left out by readers, and cut off by the next
process that appends. Costs one `fsync` an append, a few milliseconds on a local disk.
"""

from __future__ import annotations

import os
from pathlib import Path

from lexitrain.storage.atomic import make_folder, sync_folder, write_all

# Append: each write goes to the end as it is then. O_BINARY: Windows would change line breaks.
_JOURNAL = os.O_RDWR | os.O_CREAT | os.O_APPEND | getattr(os, "O_BINARY", 0)


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
            write_all(descriptor, lines)
            os.fsync(descriptor)
        except BaseException:
            os.ftruncate(descriptor, end)
            raise
    finally:
        os.close(descriptor)
    if end == 0:
        sync_folder(path.parent)  # the journal may be new, and its name not on the disk yet


def whole_lines(path: Path) -> list[bytes]:
    """The lines of a journal without a torn last one; none where there is no journal."""
    try:
        return path.read_bytes().rpartition(b"\n")[0].splitlines()
    except FileNotFoundError:
        return []


def _cut_torn_tail(descriptor: int) -> int:
    """Cut what follows the last line break of an open journal; returns its length then.

    Read backwards byte by byte: a journal is long and a torn line short.
    """
    end = length = os.lseek(descriptor, 0, os.SEEK_END)
    last = b""
    while end and last != b"\n":
        os.lseek(descriptor, end - 1, os.SEEK_SET)
        last = os.read(descriptor, 1)
        end -= last != b"\n"
    if end < length:
        os.ftruncate(descriptor, end)
    return end
