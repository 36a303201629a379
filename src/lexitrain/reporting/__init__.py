"""Pictures of plans, lengths and studies, pages of comparisons and runs: with `cli`, the only place that shows
anything."""

from __future__ import annotations

from lexitrain.reporting.ab_page import write_ab_page
from lexitrain.reporting.comparison_page import write_comparison_page
from lexitrain.reporting.length_plot import draw_lengths
from lexitrain.reporting.notebook import write_notebook
from lexitrain.reporting.plan_plot import draw_plan
from lexitrain.reporting.png import check_picture, check_png
from lexitrain.reporting.run_page import write_run_page, write_runs_page
from lexitrain.reporting.tuning_plot import draw_tuning

__all__ = [
    "check_picture",
    "check_png",
    "draw_lengths",
    "draw_plan",
    "draw_tuning",
    "write_ab_page",
    "write_comparison_page",
    "write_notebook",
    "write_run_page",
    "write_runs_page",
]
