"""`lexitrain notebook`: a notebook for Colab or Kaggle."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from lexitrain.cli.terminal.console import console
from lexitrain.errors import InputError, nearest

_PLATFORMS = ("colab", "kaggle")


def notebook(
    out: Annotated[Path, typer.Option("--out", metavar="FILE.ipynb", help="Where to write it.")],
    platform: Annotated[
        str, typer.Option(metavar="NAME", help="colab or kaggle: whose storage is used.")
    ] = "colab",
    recipe: Annotated[
        str, typer.Option("--recipe", metavar="R", help="That its first cell names.")
    ] = "fast",
    records: Annotated[
        str | None,
        typer.Option(metavar="FILE", help="The same; by default generated ones."),
    ] = None,
) -> None:
    """Write a notebook that goes from records to a file for phones, and on again after a disconnect."""
    if platform not in _PLATFORMS:
        close = nearest(platform, _PLATFORMS)
        raise InputError(
            f"There is no notebook for {platform!r}.",
            where="--platform",
            fix=f"Did you mean {close}?" if close else f"There are: {', '.join(_PLATFORMS)}.",
        )
    from lexitrain import write_notebook

    written = write_notebook(
        out, "kaggle" if platform == "kaggle" else "colab", recipe=recipe, records=records
    )
    console().print(f"Written to {written}.", markup=False, soft_wrap=True)
