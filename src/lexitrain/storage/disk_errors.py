"""What an error of the disk means, by its number: the one owner of these numbers.

The system says `OSError` with a number. To a user four things matter: there is no room, it is not allowed, the place is
not what its name says, or the place has gone away. What follows for a run is said in `runs/disk_errors.py`.
"""

from __future__ import annotations

import errno
import os
import re
from collections.abc import Generator
from contextlib import contextmanager
from pathlib import Path

from lexitrain.errors import InputError, LexiTrainError, Stopped


def _numbers(*names: str) -> frozenset[int]:
    """The numbers of these errors. No system has all of them: `EREMOTEIO` is Linux's, `EDQUOT` that of Unix."""
    return frozenset(getattr(errno, name) for name in names if hasattr(errno, name))


#: There is no room: the disk is full, the user's share of it is used up, or it takes no file of this size.
FULL = _numbers("ENOSPC", "EDQUOT", "EFBIG")

#: This user may not, or nobody may.
FORBIDDEN = _numbers("EACCES", "EPERM", "EROFS")

#: The name leads nowhere or to something of another kind: a file where a folder is needed, a name that is too long.
NO_SUCH_PLACE = _numbers("ENOTDIR", "EISDIR", "EEXIST", "ENAMETOOLONG", "ELOOP")

#: What was there cannot be reached: a drive that was unplugged or unmounted, a network that is down. A folder of a lost
#: mount is simply not there (ENOENT), or its mount point is something else (ENOTDIR).
AWAY = _numbers(
    *("EIO", "ENXIO", "ENODEV", "ENOTCONN", "ESTALE", "ETIMEDOUT", "ENOENT", "ENOTDIR"),
    *("ECONNABORTED", "EHOSTDOWN", "EREMOTEIO"),
)

_IN_WORDS = re.compile(r"\(os error (\d+)\)")


@contextmanager
def disk_errors(where: Path) -> Generator[None]:
    """Turn what a disk refuses into an error meant for the user; other errors pass.

    Raises:
        Stopped: the disk is full.
        InputError: the place is read-only, forbidden, or not what its name says.
    """
    try:
        yield
    except Exception as raised:
        error = raised if isinstance(raised, OSError) else _in_words(raised)
        if error is None:
            raise
        if error.errno in FULL:
            raise Stopped(
                "The disk is full; nothing was left behind.",
                where=where,
                fix="Free some space, or choose another disk, and run the same command again.",
            ) from None
        if error.errno in FORBIDDEN | NO_SUCH_PLACE:
            reason = os.strerror(error.errno or 0)
            raise InputError(
                f"This cannot be read or written: {reason}.",
                where=error.filename or where,
                fix="Check the name and its permissions, or choose another place.",
            ) from None
        raise


def _in_words(raised: Exception) -> OSError | None:
    """The system's error that a package written in Rust (safetensors, tokenizers) tells by words alone."""
    found = _IN_WORDS.search(str(raised))
    if found is None or os.name != "posix" or isinstance(raised, LexiTrainError):
        return None
    number = int(found[1])
    return OSError(number, os.strerror(number))
