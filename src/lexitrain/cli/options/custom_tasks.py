"""`--custom-task` and `--trust-tasks`, the same options wherever records have a task."""

from __future__ import annotations

import typer

CUSTOM_TASK = typer.Option(
    "--custom-task",
    metavar="PATH.py|MODULE:ATTRIBUTE",
    help="A task of your own; its code is run. May be given several times.",
)

TRUST_TASKS = typer.Option(
    "--trust-tasks", help="Run the code of the tasks that the run names as its own."
)
