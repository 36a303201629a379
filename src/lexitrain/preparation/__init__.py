"""Preparation: raw records in, a clean split of train, validation and test records out."""

from __future__ import annotations

from lexitrain.preparation.advice.all_advice import saved_advice
from lexitrain.preparation.pipeline import prepare

__all__ = [
    "prepare",
    "saved_advice",
]
