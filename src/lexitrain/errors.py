"""Every error a user can meet.

An error says three things: what happened, where (file and line, or the field), and what to do next. The command
line prints exactly these and exits with the class's `exit_code`; a traceback is shown for none of them.
"""

from __future__ import annotations

from collections.abc import Iterable
from difflib import get_close_matches


class LexiTrainError(Exception):
    """Base of all errors with a message meant for the user. Exit code 1: something unexpected.

    Args:
        what: one sentence that says what happened.
        where: the file (`path` or `path:line`) or the setting concerned.
        fix: what the user can do about it.
    """

    exit_code: int = 1

    def __init__(self, what: str, *, where: object | None = None, fix: str | None = None) -> None:
        super().__init__(what)
        self.what = what
        self.where = None if where is None else str(where)
        self.fix = fix

    def __str__(self) -> str:
        parts = [self.what if self.where is None else f"{self.where}: {self.what}"]
        if self.fix:
            parts.append(self.fix)
        return "\n".join(parts)


LIMIT_NOT_MET = 3
"""Exit code of a command that has done its work and found that a limit which was given cannot be kept. No error."""


class InputError(LexiTrainError):
    """Wrong usage or bad input: nothing was written. Exit code 2. Its children below tell the causes apart."""

    exit_code = 2


class RecipeError(InputError):
    """A recipe cannot be read, or its settings contradict each other or what they are used with."""


class DataError(InputError):
    """Records or a data folder cannot be read or used."""


class TaskError(InputError):
    """A task is unknown, cannot be loaded, or cannot do what is asked."""


class ModelError(InputError):
    """A base model, tokenizer or adapter cannot be had or used."""


class DeviceError(InputError):
    """A device is unknown, or cannot do what is asked of it."""


class RunError(InputError):
    """A folder is not that of a run, or the run in it cannot be used."""


class RunChanged(RunError):
    """A run would go on with another recipe, other data or another base, and nobody has accepted that."""


class RunInUse(RunError):
    """Another process, or another machine, is training the run."""


class Stopped(LexiTrainError):
    """The run stopped before its end and goes on with the same command. Exit code 4."""

    exit_code = 4


class LimitNotMet(LexiTrainError):
    """A limit that was given cannot be kept, and so nothing was begun. Exit code 3."""

    exit_code = LIMIT_NOT_MET


class MissingExtra(InputError):
    """An optional dependency is not installed. Exit code 2.

    Args:
        package: the import name that was not found.
        extra: the extra of LexiTrain that brings it.
    """

    def __init__(self, package: str, extra: str) -> None:
        super().__init__(
            f"This needs the package {package}, which is not installed.",
            fix=f"Install it with: pip install 'lexitrain[{extra}]'",
        )


def nearest(word: str, choices: Iterable[str]) -> str | None:
    """The choice that is spelt most like `word`, or None when nothing is close."""
    close = get_close_matches(word, list(choices), n=1, cutoff=0.5)
    return close[0] if close else None


def number_of(count: int, one: str, many: str | None = None) -> str:
    """A number with the form of a word that goes with it: `1 step`, `2 steps`, `1,200 records are`.

    Args:
        count: how many.
        one: the word, or some words, as they are of one.
        many: as they are of none or several; None: `one` and an s.
    """
    return f"{count:,} {one if count == 1 else many or f'{one}s'}"
