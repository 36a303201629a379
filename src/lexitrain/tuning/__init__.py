"""Tuning: which settings are better, and what each setting does, found by training within a budget.

A study consists of *units*, which are values (designs/); its *trials* run them, are kept in a database that any number
of workers share (study/), and are ordinary training runs (workers/).
"""

from __future__ import annotations

from lexitrain.tuning.result import Best, SweepPoint, TuningResult
from lexitrain.tuning.start import tune
from lexitrain.tuning.workers.worker import TuningObserver

__all__ = ["Best", "SweepPoint", "TuningObserver", "TuningResult", "tune"]
