"""Where the command line prints: results to standard output, errors and progress to standard error.

With `--json` a command prints one JSON document on standard output and nothing else.
"""

from __future__ import annotations

import errno
import json
import os
import signal
import sys
from typing import TYPE_CHECKING, Any, TextIO

from lexitrain.errors import Stopped

if TYPE_CHECKING:
    from rich.console import Console

    from lexitrain.errors import LexiTrainError


def console() -> Console:
    """The console for results."""
    from rich.console import Console

    # A pipe or a log file has no width of its own: wide enough for every table. Rich would print `a.jsonl:100` with a
    # picture for `:100:`.
    return Console(highlight=False, emoji=False, width=None if sys.stdout.isatty() else 130)


def errors_console() -> Console:
    """The console for errors and progress."""
    from rich.console import Console

    file: Any = _WhileRead(sys.stderr)
    return Console(
        file=file, highlight=False, emoji=False, width=None if sys.stderr.isatty() else 130
    )


class _WhileRead:
    """Standard error as long as it takes what is written: what is shown must not end what is done.

    A reader that has gone (`2>&1 | head`, a closed terminal) is the hang-up that a terminal would send: the process
    gets SIGHUP, so that training saves and stops, and what was started with nohup goes on. A full disk only ends the
    messages.
    """

    def __init__(self, file: TextIO) -> None:
        self._file = file

    def __getattr__(self, name: str) -> Any:
        return getattr(self._file, name)

    def write(self, text: str) -> int:
        """Write, or not, where it cannot be written any more."""
        try:
            return self._file.write(text)
        except OSError as error:
            self._lose(error)
            return len(text)

    def flush(self) -> None:
        """Flush what was written, as far as it can be."""
        try:
            self._file.flush()
        except OSError as error:
            self._lose(error)

    def _lose(self, error: OSError) -> None:
        write_nowhere(self._file)
        if error.errno in {errno.EPIPE, errno.EIO} and hasattr(signal, "SIGHUP"):
            signal.raise_signal(signal.SIGHUP)


def write_nowhere(file: TextIO) -> None:
    """Let what is written to `file` from now on, and what is buffered, vanish: it must not fail again at the end."""
    nowhere = os.open(os.devnull, os.O_WRONLY)
    os.dup2(nowhere, file.fileno())
    os.close(nowhere)


def prepare_streams() -> None:
    """Give the process the standard streams that it was started without, and escapes for characters that they lack.

    A file opened under the number of a missing stream would get what libraries print.
    """
    for number, name, mode in ((0, "stdin", "r"), (1, "stdout", "w"), (2, "stderr", "w")):
        try:
            os.fstat(number)
        except OSError:
            os.open(os.devnull, os.O_RDWR)  # gets the lowest free number, which is this one
            setattr(sys, name, os.fdopen(number, mode, encoding="utf-8"))
    for stream in (sys.stdout, sys.stderr):
        reconfigure = getattr(stream, "reconfigure", None)
        if reconfigure is not None:
            reconfigure(errors="backslashreplace")


def printable(text: str) -> str:
    """Foreign text as a terminal may show it: what could steer it is a dot, line breaks stay."""
    return "".join(c if c.isprintable() or c == "\n" else "·" for c in text)


def one_line(text: str, most: int) -> str:
    """Foreign text in one line of at most `most` characters; what could steer a terminal is shown as a dot."""
    line = printable(" ".join(text.split()))
    return line if len(line) <= most else line[:most] + "…"


def print_json(document: Any) -> None:
    """Print `document` as one JSON document, keys in the order given; escapes where characters cannot be shown."""
    text = json.dumps(document, ensure_ascii=False, indent=2)
    try:
        text.encode(sys.stdout.encoding or "utf-8")
    except UnicodeEncodeError:
        text = json.dumps(document, indent=2)
    sys.stdout.write(text + "\n")


def print_error(error: LexiTrainError) -> None:
    """Say what happened, where, and what to do."""
    from rich.markup import escape

    out = errors_console()
    where = f"[bold]{escape(error.where)}[/]: " if error.where else ""
    stopped = isinstance(error, Stopped)
    kind, colour = ("stopped", "yellow") if stopped else ("error", "red")
    out.print(f"[{colour}]{kind}[/] {where}{escape(error.what)}", soft_wrap=True)
    if error.fix:
        out.print(escape(error.fix), soft_wrap=True)
