"""The options of every command that takes a recipe."""

from __future__ import annotations

from typing import Any

import typer

RECIPE: Any = typer.Option("--recipe", metavar="R", help="A shipped recipe or a YAML file.")
OVERRIDES: Any = typer.Option(
    "--set", metavar="FIELD=VALUE", help="Change a field of the recipe, e.g. lora.rank=8."
)
