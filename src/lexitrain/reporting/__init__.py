"""Pictures of plans and lengths: with `cli`, the only place that shows anything."""

from __future__ import annotations

from lexitrain.reporting.length_plot import draw_lengths
from lexitrain.reporting.plan_plot import draw_plan
from lexitrain.reporting.png import check_png

__all__ = [
    "check_png",
    "draw_lengths",
    "draw_plan",
]
