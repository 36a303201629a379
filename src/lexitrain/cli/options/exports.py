"""The options of every command that exports."""

from __future__ import annotations

from typing import Any

import typer

QUANTIZE: Any = typer.Option(metavar="TYPE[,TYPE…]", help="Of GGUF files, such as F16,Q8_0,Q4_K_M.")
MAX_MB: Any = typer.Option(metavar="MB", min=0, help="Largest file that `best` takes.")


def parts(text: str) -> tuple[str, ...]:
    """What stands between the commas of `--to` and `--quantize`."""
    return tuple(each.strip() for each in text.split(",") if each.strip())
