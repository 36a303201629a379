"""What a test says: its numbers, its verdict, and what to know besides."""

from __future__ import annotations

from lexitrain.abtest.report.as_json import report_json
from lexitrain.abtest.report.content import AbReport, report_ab

__all__ = ["AbReport", "report_ab", "report_json"]
