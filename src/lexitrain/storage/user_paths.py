"""Paths as users write them."""

from __future__ import annotations

from pathlib import Path

from lexitrain.errors import InputError


def user_path(text: str | Path) -> Path:
    """The path that `text` means: `~` and `~name` stand for a home folder.

    Raises:
        InputError: there is no user of that name.
    """
    try:
        return Path(text).expanduser()
    except RuntimeError:
        raise InputError(
            "There is no user of this name.",
            where=text,
            fix="Write the folder out; a name that begins with ~ is given as ./~name.",
        ) from None
