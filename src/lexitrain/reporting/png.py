"""Pictures as PNG files: asking for the name, for matplotlib, and saving at once."""

from __future__ import annotations

from importlib import import_module
from pathlib import Path
from typing import Any

from lexitrain.errors import InputError, MissingExtra
from lexitrain.storage import file_at_once, user_path


def check_png(path: str | Path) -> None:
    """Asked before long work whose result is to be drawn.

    Raises:
        InputError: `path` does not name a PNG.
    """
    if Path(path).suffix.lower() != ".png":
        raise InputError("The plot is a PNG.", where=path, fix="Name a file that ends in .png.")


def new_figure(width: float, height: float) -> Any:
    """An empty matplotlib figure of so many inches, without a window.

    Raises:
        MissingExtra: matplotlib is not installed.
    """
    try:
        figures: Any = import_module("matplotlib.figure")
    except ImportError:
        raise MissingExtra("matplotlib", "report") from None
    return figures.Figure(figsize=(width, height), layout="constrained")


def save_png(figure: Any, path: str | Path) -> None:
    """Write the figure, whole or not at all; `~` is a home folder."""
    with file_at_once(user_path(path)) as file:
        figure.savefig(file, format="png", dpi=120)
