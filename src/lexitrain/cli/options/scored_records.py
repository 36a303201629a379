"""The options of every command that scores records, and the check of where they lie."""

from __future__ import annotations

from contextlib import suppress
from pathlib import Path
from typing import Any

import typer

from lexitrain.errors import DataError

DATA: Any = typer.Option(
    metavar="FILE|DIR",
    help="Records to score, or a folder made by `data prepare` (its test.jsonl).",
)
TASK: Any = typer.Option(metavar="NAME", help="Score this task alone.")
LIMIT: Any = typer.Option(
    metavar="N", min=1, help="Most records to score; each task keeps its share."
)
BATCH_SIZE: Any = typer.Option(
    metavar="N", min=1, help="Prompts answered together; fewer need less memory."
)
GROUP: Any = typer.Option(
    metavar="KEY",
    help="Key of the records' metadata whose equal values are not independent, such as learner_id. By default the "
    "usual ones.",
)
MARGIN: Any = typer.Option(
    metavar="M", help="How much worse is still no worse, in units of the score that decides a task."
)


def existing(data: Path) -> Path:
    """The path with its `~` written out. Raises DataError before torch is imported: the message should not take
    seconds."""
    with suppress(RuntimeError):  # a user that does not exist: there is no such file either
        data = data.expanduser()
    if not data.exists():
        raise DataError("There is no such file or folder of records.", where=data)
    return data
