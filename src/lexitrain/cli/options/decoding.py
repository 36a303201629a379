"""The options of every command that asks a model."""

from __future__ import annotations

from typing import Any

import typer

JSON_SCHEMA: Any = typer.Option(
    "--json-schema", help="Hold answers to the task's schema: what ends is always valid JSON of it."
)
TEMPERATURE: Any = typer.Option(
    metavar="T", help="Draw tokens, the more evenly the higher T is; 0 takes the most likely one."
)
SAMPLES: Any = typer.Option(
    metavar="N", help="Answers to each text; needs a --temperature above 0."
)
SEED: Any = typer.Option(metavar="N", help="Of the draws.")
