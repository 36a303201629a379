"""`--json`, the same option wherever a command has one document to print."""

from __future__ import annotations

from typing import Any

import typer

AS_JSON: Any = typer.Option("--json", help="Print one JSON document.")
