"""Charts of parts and shares: bars, intervals, and a waterfall from one number to another."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from lexitrain.reporting.run_page.charts.svg import COLOURS, INK, Charts, colour, label

if TYPE_CHECKING:
    from lexitrain.reporting.run_page.blocks import Figure

_ROW = 0.34  # inches of a bar
_AXIS = 0.75  # inches besides


@dataclass(frozen=True, slots=True)
class Interval:
    """A value with its interval.

    Attributes:
        trivial: of the trivial predictor, a cross.
        target: to be reached, a bar across.
    """

    name: str
    value: float
    low: float | None
    high: float | None
    trivial: float | None = None
    target: float | None = None


def bar_chart(
    charts: Charts,
    title: str,
    said: str,
    rows: Sequence[tuple[str, Sequence[float]]],
    *,
    x: str,
    names: Sequence[str] = (),
    level: tuple[float, str] | None = None,
) -> Figure:
    """Bars from left to right, a row each.

    Args:
        charts: of the page.
        title, said: as of `Charts.draw`.
        rows: (label, a value for each of `names`, or one), one row at least.
        x: what the axis is, with its unit.
        names: of the values of a row, for the legend.
        level: (value, what it is) of a line from top to bottom.
    """
    count = max(len(values) for _, values in rows)
    thick = 0.8 / count

    def paint(axes: Any) -> None:
        for place in range(count):
            at = [
                (row + (place - (count - 1) / 2) * thick, values[place])
                for row, (_, values) in enumerate(rows)
                if place < len(values)
            ]
            axes.barh(
                [where for where, _ in at],
                [value for _, value in at],
                height=thick * 0.9,
                color=colour(COLOURS[place % len(COLOURS)]),
            )
        if level is not None:
            axes.axvline(level[0], color=INK, linestyle="--", linewidth=1)
        _rows_on(axes, [name for name, _ in rows])
        axes.set_xlabel(x if level is None else f"{x} (dashed: {label(level[1], 40)})")

    legend = [(name, COLOURS[place % len(COLOURS)]) for place, name in enumerate(names)]
    height = _AXIS + _ROW * len(rows) * max(1.0, 0.6 * count)
    return charts.draw(paint, title, said, height=height, legend=legend)


def interval_chart(
    charts: Charts, title: str, said: str, rows: Sequence[Interval], *, x: str
) -> Figure:
    """A dot with its interval for each row, beside the trivial predictor and the target."""

    def paint(axes: Any) -> None:
        for place, row in enumerate(rows):
            if row.low is not None and row.high is not None:
                axes.plot([row.low, row.high], [place, place], color=colour("one"), linewidth=3)
            axes.plot([row.value], [place], marker="o", markersize=7, color=colour("one"))
            if row.trivial is not None:
                axes.plot([row.trivial], [place], marker="x", markersize=7, color=colour("eight"))
            if row.target is not None:
                axes.plot(
                    [row.target] * 2, [place - 0.3, place + 0.3], color=colour("two"), linewidth=2
                )
        _rows_on(axes, [row.name for row in rows])
        axes.set_xlabel(x)

    legend = [("score with its interval", "one"), ("target", "two"), ("trivial (×)", "eight")]
    height = _AXIS + (_ROW + 0.04) * len(rows)
    return charts.draw(paint, title, said, height=height, legend=legend)


def waterfall(
    charts: Charts,
    title: str,
    said: str,
    levers: Sequence[tuple[str, float]],
    ends: tuple[float, float],
    *,
    x: str,
) -> Figure:
    """From the old value down to the new one, a row a lever, which takes away its share (or adds to it)."""

    def paint(axes: Any) -> None:
        axes.barh(0, ends[0], color=colour("eight"), height=0.7)
        level = ends[0]
        for place, (_, saved) in enumerate(levers, start=1):
            tone = "three" if saved >= 0 else "six"
            axes.barh(place, -saved, left=level, color=colour(tone), height=0.7)
            level -= saved
        axes.barh(len(levers) + 1, ends[1], color=colour("one"), height=0.7)
        _rows_on(axes, ["old", *(name for name, _ in levers), "new"])
        axes.set_xlabel(x)

    legend = [("old", "eight"), ("saves", "three"), ("costs", "six"), ("new", "one")]
    return charts.draw(paint, title, said, height=_AXIS + _ROW * (len(levers) + 2), legend=legend)


def _rows_on(axes: Any, names: Sequence[str]) -> None:
    """The first row on top, without lines between rows."""
    axes.set_yticks(range(len(names)), [label(name) for name in names])
    axes.set_ylim(len(names) - 0.4, -0.6)
    axes.tick_params(axis="y", length=0)
    axes.grid(visible=False, axis="y")
    axes.locator_params(axis="x", nbins=6)
