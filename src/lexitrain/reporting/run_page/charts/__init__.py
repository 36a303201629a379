"""Charts as inline SVG: drawn by matplotlib, with the page's own colours and letters."""

from __future__ import annotations

from lexitrain.reporting.run_page.charts.bars import Interval, bar_chart, interval_chart, waterfall
from lexitrain.reporting.run_page.charts.lines import Line, Marker, line_chart
from lexitrain.reporting.run_page.charts.svg import COLOURS, Charts

__all__ = [
    "COLOURS",
    "Charts",
    "Interval",
    "Line",
    "Marker",
    "bar_chart",
    "interval_chart",
    "line_chart",
    "waterfall",
]
