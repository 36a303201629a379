"""The picture of `lexitrain data lengths`: how many samples are how long, and where the limits lie."""

from __future__ import annotations

from importlib import import_module
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from lexitrain.errors import InputError, MissingExtra
from lexitrain.samples.lengths import MULTIPLE, LengthReport
from lexitrain.storage.atomic import file_at_once


def check_plot(path: Path) -> None:
    """Raises InputError when `path` does not name a PNG; asked before the long measuring."""
    if path.suffix.lower() != ".png":
        raise InputError("The plot is a PNG.", where=path, fix="Name a file that ends in .png.")


def draw_lengths(totals: NDArray[np.int64], report: LengthReport, path: Path) -> None:
    """Draw a histogram of sample lengths (tokens) with the lengths that cover 90, 95, 99 % into a PNG.

    Raises:
        MissingExtra: matplotlib is not installed.
        InputError: `path` is no PNG.
    """
    check_plot(path)
    try:
        figures: Any = import_module("matplotlib.figure")
    except ImportError:
        raise MissingExtra("matplotlib", "report") from None
    figure: Any = figures.Figure(figsize=(8, 4.5), layout="constrained")
    axes: Any = figure.add_subplot()
    longest = int(max(totals.max(), report.max_length))
    axes.hist(totals, bins=np.arange(0, longest + MULTIPLE, MULTIPLE / 4), color="#3b6ea5")
    axes.axvline(report.max_length, color="#c0392b", label=f"max_length {report.max_length}")
    for (share, length), style in zip(
        report.covering.items(), ("-", "--", ":", "-."), strict=False
    ):
        axes.axvline(
            length, color="#555555", linestyle=style, label=f"{length} covers {100 * share:.4g} %"
        )
    axes.set(
        xlabel="tokens a sample",
        ylabel="samples",
        title="Sample lengths",
        xlim=(0, longest + MULTIPLE),
    )
    axes.legend()
    with file_at_once(path) as file:
        figure.savefig(file, format="png", dpi=120)
