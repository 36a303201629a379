"""The options of every command that trains on a machine that may go away."""

from __future__ import annotations

from typing import Any

import typer

STOP_AFTER: Any = typer.Option(
    "--stop-after",
    metavar="TIME",
    help="Save and stop within this time, e.g. 11h or 1h30m; go on later.",
)
MIRROR: Any = typer.Option(
    "--mirror", metavar="DIR", help="Copy the run here too, and go on from here."
)
