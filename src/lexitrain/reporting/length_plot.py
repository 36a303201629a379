"""The picture of `lexitrain data lengths`: how many samples are how long, and where the limits lie."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from lexitrain.reporting.png import check_png, new_figure, save_png
from lexitrain.samples import MULTIPLE, LengthReport


def draw_lengths(totals: NDArray[np.int64], report: LengthReport, path: str | Path) -> None:
    """Draw a histogram of sample lengths (tokens) with the lengths that cover 90, 95, 99 % into a PNG.

    Raises:
        MissingExtra: matplotlib is not installed.
        InputError: `path` is no PNG.
    """
    check_png(path)
    figure = new_figure(8, 4.5)
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
    save_png(figure, path)
