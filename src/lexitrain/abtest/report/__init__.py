"""What a test says: its numbers, its verdict, and what to know besides."""

from __future__ import annotations

from lexitrain.abtest.report.content import AbReport
from lexitrain.abtest.report.making import report_ab

__all__ = ["AbReport", "report_ab"]
