"""`lexitrain notebook`: a notebook for Colab or Kaggle."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from lexitrain.cli.terminal.console import console


def notebook(
    out: Annotated[Path, typer.Option("--out", metavar="FILE.ipynb", help="Where to write it.")],
    platform: Annotated[
        str, typer.Option(metavar="NAME", help="colab or kaggle: whose storage is used.")
    ] = "colab",
    recipe: Annotated[
        str, typer.Option("--recipe", metavar="R", help="Recipe that its first cell names.")
    ] = "fast",
    records: Annotated[
        str | None,
        typer.Option(
            metavar="FILE|DIR", help="Records that its first cell names; by default generated ones."
        ),
    ] = None,
) -> None:
    """Write a notebook that goes from records to a file for phones, and on again after a disconnect."""
    from lexitrain import write_notebook

    written = write_notebook(out, platform, recipe=recipe, records=records)
    console().print(f"Written to {written}.", markup=False, soft_wrap=True)
