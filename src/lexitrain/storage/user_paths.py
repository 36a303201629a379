"""Paths of the user: as they are written, short names for them, and the folders that the system keeps for users."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from platformdirs import user_cache_path, user_config_path

from lexitrain.errors import InputError

_NAME = "lexitrain"


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


def cache_folder(what: str) -> Path:
    """The user's folder for `what` can be made again, such as `rehearsals`; nothing is made here.

    On Linux `$XDG_CACHE_HOME/lexitrain/<what>`, by default below `~/.cache`.
    """
    return user_cache_path(_NAME, appauthor=False) / what


def configuration_folder(what: str) -> Path:
    """The user's folder for `what` is to stay, such as measured `devices`; nothing is made here.

    On Linux `$XDG_CONFIG_HOME/lexitrain/<what>`, by default below `~/.config`.
    """
    # Roaming: on Windows the settings of a user, which follow to other machines of the domain.
    return user_config_path(_NAME, appauthor=False, roaming=True) / what


def told_apart(paths: Sequence[str]) -> list[str]:
    """A short name for each path or address: its last parts, as many as it takes to tell them apart."""
    for parts in range(1, 10):
        names = [_last_parts(path, parts) for path in paths]
        if len(set(names)) == len(names):
            return names
    return [f"{path} ({number})" for number, path in enumerate(paths, start=1)]


def _last_parts(path: str, count: int) -> str:
    if "://" in path:
        return path
    return "/".join(path.rstrip("/").split("/")[-count:])
