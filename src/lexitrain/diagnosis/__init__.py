"""Diagnosis: what would go wrong with a run before it begins, and why a run is slow."""

from __future__ import annotations

from lexitrain.diagnosis.check import Check
from lexitrain.diagnosis.machine_facts import MachineFacts
from lexitrain.diagnosis.preflight.preflight import Preflight, preflight
from lexitrain.diagnosis.slowness.causes import Cause
from lexitrain.diagnosis.slowness.slow_run import SlowRun, slow_run

__all__ = [
    "Cause",
    "Check",
    "MachineFacts",
    "Preflight",
    "SlowRun",
    "preflight",
    "slow_run",
]
