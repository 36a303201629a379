"""Where the command line prints: results to standard output, errors and progress to standard error.

With `--json` a command prints one JSON document on standard output and nothing else.
"""

from __future__ import annotations

import json
import sys
from typing import TYPE_CHECKING, Any

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

    return Console(
        stderr=True, highlight=False, emoji=False, width=None if sys.stderr.isatty() else 130
    )


def print_json(document: Any) -> None:
    """Print `document` as one JSON document, keys in the order given."""
    sys.stdout.write(json.dumps(document, ensure_ascii=False, indent=2) + "\n")


def print_error(error: LexiTrainError) -> None:
    """Say what happened, where, and what to do."""
    from rich.markup import escape

    out = errors_console()
    where = f"[bold]{escape(error.where)}[/]: " if error.where else ""
    kind = "stopped" if error.exit_code == 4 else "error"
    colour = "yellow" if error.exit_code == 4 else "red"
    out.print(f"[{colour}]{kind}[/] {where}{escape(error.what)}", soft_wrap=True)
    if error.fix:
        out.print(escape(error.fix), soft_wrap=True)
