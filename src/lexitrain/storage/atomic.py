"""Files and folders written at once: after a crash the old one or the new one is there, whole.

What is written counts only once it is synced, and a name only once its folder is synced: a power cut may drop or tear
everything else, in any order. So work goes to a hidden name in the same folder, is synced, and is renamed over the old
one. An error, a full disk or Ctrl-C removes it; what stood there before is untouched. All that this package keeps is
written by the functions here and in `journal.py`, and one test crashes between every two operations that they make for
a run. Costs: one or two `fsync`s a file, a few milliseconds on a local disk.

Two forms for two uses. `write_file` and `write_folder` take bytes; for what others may never see half of, such as a run
that is locked meanwhile. `file_at_once` and `folder_at_once` are filled bit by bit; for results that a user names, in
folders that hold other things and that nobody locks, and their errors are meant for that user.
"""

from __future__ import annotations

import os
import platform
import shutil
from collections.abc import Generator, Mapping
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any, BinaryIO

from lexitrain.errors import InputError
from lexitrain.storage.disk_errors import disk_errors
from lexitrain.storage.json_text import json_text
from lexitrain.storage.process_identity import is_running

#: What the names of unfinished folders begin with.
UNFINISHED = ".tmp-"

# O_BINARY: Windows would change line breaks.
_NEW = os.O_WRONLY | os.O_CREAT | os.O_TRUNC | getattr(os, "O_BINARY", 0)


# One operation each, durable on return.


def make_folder(path: Path) -> None:
    """Make a folder and those above it that are missing, their names being on the disk on return."""
    missing = [each for each in (path, *path.parents) if not each.exists()]
    for each in reversed(missing):
        each.mkdir(exist_ok=True)
        sync_folder(each.parent)


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


def write_all(descriptor: int, content: bytes) -> None:
    """Write all of `content` to an open file: the system may take less than it was given."""
    left = memoryview(content)
    while left:
        left = left[os.write(descriptor, left) :]


# From bytes.


def write_file(path: Path, content: bytes) -> None:
    """Replace `path` by `content` at once: after a crash the file is the old one or the new one, whole.

    Raises:
        OSError: no space, read-only, and so on; the old file is then untouched and nothing is left beside it.
    """
    make_folder(path.parent)
    temporary = path.with_name(f".{path.name}.tmp-{os.getpid()}")
    try:
        _write_synced(temporary, content)
        temporary.replace(path)
    except BaseException:
        temporary.unlink(missing_ok=True)
        raise
    sync_folder(path.parent)


def write_json(path: Path, content: Mapping[str, Any]) -> None:
    """`write_file` of an indented JSON object; a number that is not finite becomes null."""
    write_file(path, (json_text(content, indent=2) + "\n").encode())


def write_folder(
    target: Path, files: Mapping[str, bytes], *, last: str | None = None, truncate: bool = False
) -> None:
    """Replace the folder `target` by one with these files.

    Unlike a file, a folder that is there cannot be replaced by a rename: it is deleted first, and a crash in between
    leaves neither. Checkpoints keep an older one for that case; the adapter and its copies are written again.

    Only one process may write `target` at a time (a run's lock sees to that): what is found under the temporary names
    of `target` is taken for the leftovers of a dead one, and removed.

    Args:
        target: the folder.
        files: name -> content, written in this order.
        last: the file that says that the folder is complete. Give it as the last of `files`; of an old folder it is
            deleted first.
        truncate: for the deletion of what was there, see `remove_folder`.

    Raises:
        OSError: no space, read-only, and so on; the temporary folder is then gone, as far as it can be deleted.
    """
    temporary = target.with_name(f"{UNFINISHED}{target.name}-{os.getpid()}")
    try:
        make_folder(target.parent)
        _remove_leftovers_of(target, truncate)
        temporary.mkdir()
        for name, content in files.items():
            _write_synced(temporary / name, content)
        sync_folder(temporary)
        if target.exists():
            remove_folder(target, first=last, truncate=truncate)
        temporary.rename(target)
    except BaseException:
        with suppress(OSError):
            remove_folder(temporary, truncate=truncate)
        raise
    sync_folder(target.parent)


def remove_folder(path: Path, *, first: str | None = None, truncate: bool = False) -> None:
    """Delete a folder with all that is in it.

    Args:
        path: the folder.
        first: the file to delete first, such as a manifest without which the rest counts for nothing: a crash in
            between then leaves nothing that looks complete.
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


def _remove_leftovers_of(target: Path, truncate: bool) -> None:
    # The second is the name that version 0.1.0 gave to an unfinished adapter.
    names = (f"{UNFINISHED}{target.name}-", f".{target.name}.tmp")
    for left in sorted(target.parent.iterdir()):
        if left.name.startswith(names):
            remove_folder(left, truncate=truncate)


def _write_synced(path: Path, content: bytes) -> None:
    """Write a new file and wait until its bytes are on the disk; its name is so only after `sync_folder`."""
    descriptor = os.open(path, _NEW, 0o666)
    try:
        write_all(descriptor, content)
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


# Filled bit by bit.


@contextmanager
def file_at_once(path: Path) -> Generator[BinaryIO]:
    """A new file for `path`, which replaces it when the block ends without an error.

    Raises:
        Stopped: the disk is full.
        InputError: `path` is a folder, or cannot be written.
    """
    with disk_errors(path):
        if path.is_dir():
            raise InputError(
                "This is a folder, not a file.", where=path, fix="Give the name of a file in it."
            )
        path.parent.mkdir(parents=True, exist_ok=True)
        partial = _partial(path.parent, path.name)
        try:
            with partial.open("wb") as file:
                yield file
                file.flush()
                os.fsync(file.fileno())
            partial.replace(path)
        finally:
            partial.unlink(missing_ok=True)
        sync_folder(path.parent)


@contextmanager
def folder_at_once(folder: Path, last: str) -> Generator[Path]:
    """A new folder to fill, whose files become those of `folder` when the block ends without an error.

    Other files that `folder` holds already stay. The file called `last` disappears first and appears last, so that
    a folder that has it is complete.

    Raises:
        Stopped: the disk is full.
        InputError: `folder` is a file, or cannot be written.
    """
    with disk_errors(folder):
        if folder.exists() and not folder.is_dir():
            raise InputError(
                "This is a file, not a folder.", where=folder, fix="Choose the name of a folder."
            )
        # Folders above that are missing are made at the end: an error before leaves none of them.
        home = next(place for place in (folder, *folder.absolute().parents) if place.exists())
        partial = _partial(home, folder.name)
        try:
            partial.mkdir()
            yield partial
            _take_place(partial, folder, last)
        finally:
            shutil.rmtree(partial, ignore_errors=True)


def _partial(home: Path, name: str) -> Path:
    """Where this process may work in `home` until it is done; what dead processes of this machine left is removed.

    The machine's name is part of it: other machines may work in a shared folder, and their processes cannot be looked
    up here.
    """
    prefix = f".{name}.partial-{platform.node()}-"
    for left in home.iterdir():
        owner = left.name.removeprefix(prefix)
        if owner == left.name or not owner.isdigit():
            continue
        # Under this process's own number it was left by an earlier one: containers that start anew repeat them.
        if int(owner) == os.getpid() or not is_running(int(owner)):
            shutil.rmtree(left) if left.is_dir() else left.unlink(missing_ok=True)
    return home / f"{prefix}{os.getpid()}"


def _take_place(partial: Path, folder: Path, last: str) -> None:
    for path in partial.iterdir():
        with path.open("rb") as file:
            os.fsync(file.fileno())
    if not folder.exists():
        folder.parent.mkdir(parents=True, exist_ok=True)
        partial.rename(folder)
        sync_folder(folder.parent)
        return
    (folder / last).unlink(missing_ok=True)
    for path in sorted(partial.iterdir(), key=lambda path: path.name == last):
        path.replace(folder / path.name)
    sync_folder(folder)
