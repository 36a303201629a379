"""Files and folders that appear whole or not at all.

Work goes to a hidden name on the same disk and is renamed when it is complete and synced. An error, a full disk or
Ctrl-C removes it; what stood there before is untouched. What a killed process left is removed by the next one.
"""

from __future__ import annotations

import errno
import os
import platform
import shutil
from collections.abc import Generator
from contextlib import contextmanager
from pathlib import Path
from typing import BinaryIO

from lexitrain.errors import InputError, Stopped
from lexitrain.storage.atomic import sync_folder

_FULL = {errno.ENOSPC, errno.EDQUOT}
_REFUSED = {errno.EACCES, errno.EPERM, errno.EROFS, errno.ENOTDIR, errno.EISDIR, errno.ENAMETOOLONG}


@contextmanager
def disk_errors(where: Path) -> Generator[None]:
    """Turns what a disk refuses into an error meant for the user.

    Raises:
        Stopped: the disk is full.
        InputError: the place is read-only, forbidden, or not what its name says.
    """
    try:
        yield
    except OSError as error:
        if error.errno in _FULL:
            raise Stopped(
                "The disk is full; nothing was left behind.",
                where=where,
                fix="Free some space, or choose another disk, and run the same command again.",
            ) from None
        if error.errno in _REFUSED:
            reason = os.strerror(error.errno or 0)
            raise InputError(
                f"This cannot be read or written: {reason}.",
                where=error.filename or where,
                fix="Check the name and its permissions, or choose another place.",
            ) from None
        raise


@contextmanager
def file_at_once(path: Path) -> Generator[BinaryIO]:
    """A new file for `path`, which replaces it when the block ends without an error."""
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
                _sync(file)
            partial.replace(path)
        finally:
            partial.unlink(missing_ok=True)
        sync_folder(path.parent)


@contextmanager
def folder_at_once(folder: Path, last: str) -> Generator[Path]:
    """A new folder to fill, whose files become those of `folder` when the block ends without an error.

    Other files that `folder` holds already stay. The file called `last` disappears first and appears last, so that
    a folder that has it is complete.
    """
    with disk_errors(folder):
        if folder.exists() and not folder.is_dir():
            raise InputError(
                "This is a file, not a folder.", where=folder, fix="Choose the name of a folder."
            )
        home = next(place for place in (folder, *folder.absolute().parents) if place.exists())
        partial = _partial(home, folder.name)
        try:
            partial.mkdir()
            yield partial
            _take_place(partial, folder, last)
        finally:
            shutil.rmtree(partial, ignore_errors=True)


def _partial(home: Path, name: str) -> Path:
    """Where this process may work in `home` until it is done; what dead processes of this machine left is removed."""
    prefix = f".{name}.partial-{platform.node()}-"
    for left in home.iterdir():
        owner = left.name.removeprefix(prefix)
        if owner != left.name and owner.isdigit() and not _is_running(int(owner)):
            shutil.rmtree(left) if left.is_dir() else left.unlink(missing_ok=True)
    return home / f"{prefix}{os.getpid()}"


def _is_running(process: int) -> bool:
    if (
        process == os.getpid()
    ):  # left by another life of this number: restarted containers repeat them
        return False
    if os.name != "posix":  # signal 0 asks on POSIX, and kills elsewhere
        return True
    try:
        os.kill(process, 0)
    except ProcessLookupError:
        return False
    except PermissionError:
        pass  # another user's
    return True


def _take_place(partial: Path, folder: Path, last: str) -> None:
    for path in partial.iterdir():
        with path.open("rb") as file:
            _sync(file)
    if not folder.exists():
        folder.parent.mkdir(parents=True, exist_ok=True)
        partial.rename(folder)
        sync_folder(folder.parent)
        return
    (folder / last).unlink(missing_ok=True)
    for path in sorted(partial.iterdir(), key=lambda path: path.name == last):
        path.replace(folder / path.name)
    sync_folder(folder)


def _sync(file: BinaryIO) -> None:
    if file.writable():
        file.flush()
    os.fsync(file.fileno())
