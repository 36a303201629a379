"""The page of a run, and of several side by side: what a run folder holds, as one HTML file."""

from __future__ import annotations

from lexitrain.reporting.run_page.page import write_run_page
from lexitrain.reporting.run_page.side_by_side import write_runs_page

__all__ = ["write_run_page", "write_runs_page"]
