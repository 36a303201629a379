"""How much of a part of an export is done, told in steps."""

from __future__ import annotations

from collections.abc import Callable

Progress = Callable[[str, int, int], None]


def counted(name: str, total: int, tell: Progress | None) -> Callable[[int], None]:
    """A function that is called with what was done since the last call, and tells how much that is in all.

    Args:
        name: of the part.
        total: that there is to do.
        tell: called with name, done and total; None: nobody is told.
    """
    done = 0

    def count(more: int) -> None:
        nonlocal done
        done += more
        if tell is not None:
            tell(name, done, total)

    return count
