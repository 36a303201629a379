"""Charts of something that moves: a line each, with marks where something happened."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from lexitrain.reporting.run_page.charts.svg import INK, Charts, colour, label

if TYPE_CHECKING:
    from lexitrain.reporting.run_page.blocks import Figure

Point = tuple[float, float]

MOST_POINTS = 400
"""Points of a line that are drawn: a chart is no wider."""
_DOTTED = 40  # a line of as many points shows each
_LEAST_OF_A_LOG = 1e-9
_LOG = 8.0  # the largest over the smallest, from which a scale is logarithmic


@dataclass(frozen=True, slots=True)
class Line:
    """One line.

    Attributes:
        name: in the legend.
        points: (x, y) each, by x.
        colour: a CSS variable of the page.
        dots: shows the points, whatever their number.
        thin: is drawn lightly, behind the others.
    """

    name: str
    points: Sequence[Point]
    colour: str
    dots: bool = False
    thin: bool = False


@dataclass(frozen=True, slots=True)
class Marker:
    """A point that is pointed out, with a few words."""

    point: Point
    text: str


def line_chart(
    charts: Charts,
    title: str,
    said: str,
    lines: Sequence[Line],
    *,
    x: str = "step",
    y: str = "",
    marker: Marker | None = None,
    level: tuple[float, str] | None = None,
    from_zero: bool = False,
    may_be_log: bool = False,
) -> Figure:
    """A chart of lines.

    Args:
        charts: of the page.
        title, said: as of `Charts.draw`.
        lines: one at least, with a point at least.
        x, y: what the axes are, with their units.
        marker: a point to point out.
        level: (value, what it is) of a line across.
        from_zero: the scale begins at 0.
        may_be_log: it is logarithmic where the values lie far apart.
    """
    values = [value for line in lines for _, value in line.points]
    log = may_be_log and min(values) > _LEAST_OF_A_LOG and max(values) > _LOG * min(values)

    def paint(axes: Any) -> None:
        for line in lines:
            _paint_line(axes, line)
        if level is not None:
            axes.axhline(level[0], color=INK, linestyle="--", linewidth=1)
            axes.annotate(
                label(level[1], 40), (0.01, level[0]), xycoords=("axes fraction", "data"),
                textcoords="offset points", xytext=(0, 3),
            )  # fmt: skip
        if marker is not None:
            _paint_marker(axes, marker)
        axes.set(xlabel=x, ylabel=y)
        if log:
            _log_scale(axes, min(values), max(values))
        elif from_zero and min(values) >= 0:
            axes.set_ylim(0, 1.08 * max(values) or 1)
        axes.margins(x=0.02)

    legend = [(line.name, line.colour) for line in lines] if len(lines) > 1 else []
    return charts.draw(paint, title, said, legend=legend)


def _paint_line(axes: Any, line: Line) -> None:
    points = thinned(line.points)
    dots = line.dots or len(points) <= _DOTTED
    axes.plot(
        [x for x, _ in points],
        [y for _, y in points],
        color=colour(line.colour),
        marker="o" if dots else None,
        markersize=3.5,
        linewidth=1.1 if line.thin else 1.8,
        alpha=0.75 if line.thin else 1,
        zorder=2 if line.thin else 3,
    )


def _paint_marker(axes: Any, marker: Marker) -> None:
    x, y = marker.point
    axes.plot([x], [y], marker="o", markersize=9, fillstyle="none", color=INK, zorder=5)
    low, high = axes.get_xlim()
    left = x > (low + high) / 2
    axes.annotate(
        label(marker.text, 40), (x, y), textcoords="offset points",
        xytext=(-4 if left else 4, 12), ha="right" if left else "left",
    )  # fmt: skip


def _log_scale(axes: Any, low: float, high: float) -> None:
    """A logarithmic scale with a few plain numbers on it."""
    ticks = [
        value
        for power in range(-12, 13)
        for value in (10.0**power, 2 * 10.0**power, 5 * 10.0**power)
        if low * 0.8 <= value <= high * 1.2
    ]
    axes.set_yscale("log")
    axes.set_yticks(ticks, [f"{value:g}" for value in ticks])
    axes.tick_params(axis="y", which="minor", left=False)
    axes.set_yticks([], minor=True)


def thinned(points: Sequence[Point], most: int = MOST_POINTS) -> list[Point]:
    """At most `most` of the points: the first and the last, and between them the lowest and the highest of each piece,
    so that no spike is lost."""
    if len(points) <= most:
        return list(points)
    inner, pieces = points[1:-1], max(1, (most - 2) // 2)
    kept = [points[0]]
    for place in range(pieces):
        piece = inner[len(inner) * place // pieces : len(inner) * (place + 1) // pieces]
        ends = {min(piece, key=lambda point: point[1]), max(piece, key=lambda point: point[1])}
        kept += sorted(ends)
    return [*kept, points[-1]]
