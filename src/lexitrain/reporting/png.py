"""Pictures as PNG or SVG files: asking for the name, for matplotlib, and saving at once."""

from __future__ import annotations

from importlib import import_module
from importlib.util import find_spec
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


def check_picture(path: str | Path) -> None:
    """Asked before long work whose result is to be drawn.

    Raises:
        InputError: `path` names neither a PNG nor an SVG.
        MissingExtra: matplotlib is not installed.
    """
    if Path(path).suffix.lower() not in {".png", ".svg"}:
        raise InputError(
            "The plot is a PNG or an SVG.", where=path, fix="Name a file that ends in .png or .svg."
        )
    if find_spec("matplotlib") is None:
        raise MissingExtra("matplotlib", "report")


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


def save_picture(figure: Any, path: str | Path) -> None:
    """Write the figure as PNG or SVG, as its name says, whole or not at all; text in an SVG stays text."""
    rc_context: Any = import_module("matplotlib").rc_context
    kind = Path(path).suffix.lower().removeprefix(".")
    with rc_context({"svg.fonttype": "none"}), file_at_once(user_path(path)) as file:
        figure.savefig(file, format=kind, dpi=120)


def save_png(figure: Any, path: str | Path) -> None:
    """Write the figure, whole or not at all; `~` is a home folder."""
    with file_at_once(user_path(path)) as file:
        figure.savefig(file, format="png", dpi=120)
