"""Charts as inline SVG: drawn by matplotlib, with the page's own colours and letters."""

from __future__ import annotations

from lexitrain.reporting.run_page.charts.bars import Interval, bar_chart, interval_chart, waterfall
from lexitrain.reporting.run_page.charts.lines import Line, Marker, line_chart
from lexitrain.reporting.run_page.charts.svg import COLOURS, INK, Charts, colour

__all__ = [
    "COLOURS",
    "INK",
    "Charts",
    "Interval",
    "Line",
    "Marker",
    "bar_chart",
    "colour",
    "interval_chart",
    "line_chart",
    "waterfall",
]
